"""Has a thread as soon as it is imported, which no fork of it would have."""

import threading

threading.Thread(target=threading.Event().wait, daemon=True).start()

if __name__ == "__main__":
    print("ran", flush=True)
