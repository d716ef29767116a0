"""`python -m causeway.starway.bench`, as `starway.bench`: the same as `causeway.bench`."""

from __future__ import annotations

import sys

from ..bench import (  # noqa: F401
    build_parser,
    dump_results,
    main,
    parse_size,
    parse_worker_address,
    run_client,
    run_loopback,
    run_server,
    scenario_plan,
)

if __name__ == "__main__":
    sys.exit(main())
