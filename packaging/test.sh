#!/usr/bin/env bash
# Installs what the tests need and runs all of them: see tools/test.py for the steps.
#   packaging/test.sh [STEP...]      dev asan tsan fuzz check
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
packaging/deps.sh build test
exec python3 -B tools/test.py "$@"
