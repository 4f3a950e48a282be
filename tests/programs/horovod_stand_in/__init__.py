"""What the example of Horovod needs of it, over gloo: Horovod itself takes minutes to build."""
