"""Stands in for the decoder process in tests: answers whatever it is asked with bytes given to it.

They lie in the file `SEGFLOW_RUBBISH`. Without any it closes its answers and lives on.
"""

import json
import os
import re
import sys
import time
from pathlib import Path

rubbish = Path(os.environ["SEGFLOW_RUBBISH"]).read_bytes()
os.write(1, json.dumps([{}]).encode() + b"\n")
for request in sys.stdin.buffer:
    if not rubbish:
        os.close(1)
        time.sleep(600)
    if number := re.search(rb'"number": (\d+)', request):
        sys.stdout.buffer.write(rubbish.replace(b"NUMBER", number[1]))
    elif b'"decode"' in request:
        sys.stdout.buffer.write(rubbish)
    sys.stdout.buffer.flush()
