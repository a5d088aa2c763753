// Package alloc shares one subscriber's bits among the slots it watches. It is a pure core.
//
//	estimate, wishes (size, priority), layers offered ──► one layer for each slot, and what is left
package alloc
