// Package call will decide who rings and who answers: a pure state machine of calls and legs. This room is empty.
//
//	Call: NEW ──► RINGING ──► CONNECTING ──► ACTIVE ──► ENDED(reason)
//	Leg (one per callee device):
//	  QUEUED ──► PUSHED ──► ALERTING ──► ACCEPTED | DECLINED | BUSY | ELSEWHERE | CANCELLED | MISSED | UNREACHABLE
package call
