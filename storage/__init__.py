"""The store: SQLAlchemy tables behind `tuner.interfaces.Store`."""
