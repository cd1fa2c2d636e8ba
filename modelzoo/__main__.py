"""`python -m modelzoo`, the same as the `modelzoo` command."""

from modelzoo.cli import main

raise SystemExit(main())
