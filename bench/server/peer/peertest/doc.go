// Package peertest tries a driver with people who say who they are in each packet.
//
//	Person, Person, ... ──► caller.Dialer ──► server
//	   "ann/camera 17"  ◄── is it whose the driver says?
package peertest
