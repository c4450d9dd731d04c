"""What every test starts from."""

from __future__ import annotations

import signal

from hypothesis import settings

# A shell that runs these in the background, or nohup, has them ignored, and every process that tests start inherits it.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# How long an example takes says what else the machine does.
settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")
