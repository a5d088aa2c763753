// Package peers says which addresses a client may send to through a relay. It is a pure core.
//
//	address ──► v4-mapped is IPv4 ──► ours? ──► Own: handed over in this process
//	                                   │ no
//	                                   ▼
//	     our listening and relay ports ──► Denied      loops
//	     in no allowed prefix ───────────► Denied      default: there are none
//	     in a reserved range ────────────► Denied      unless an allowed prefix names that range, exactly or a part of it
//	     IPv4 inside IPv6 ───────────────► judged too  NAT64, 6to4, Teredo
//	                                   │
//	                                   ▼
//	                                Allowed: through a relay socket
package peers
