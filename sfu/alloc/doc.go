// Package alloc shares one subscriber's bits among the slots it watches. It is a pure core.
//
//	estimate, wishes (size, priority), layers offered ──► one layer for each slot, and what is left
//
// Empty until publishers send layers; every slot carries the one encoding that there is.
package alloc
