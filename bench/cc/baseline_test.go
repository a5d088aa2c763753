package cc

import "flag"

var update = flag.Bool("update", false, "write testdata/baseline.json and the bounds of testdata/worst anew")
