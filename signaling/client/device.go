package client

import "github.com/tolkyn/tolkyn/signaling/wire"

// DeviceClass sums up what a device can do; ClassNotTold lets the server conclude from the rest of Device.
type DeviceClass = wire.Device_Class

// The classes.
const (
	ClassNotTold = wire.Device_CLASS_UNSPECIFIED
	LowDevice    = wire.Device_LOW    // one encoding of 360 lines, H.264 or VP8, and at most two videos
	NormalDevice = wire.Device_NORMAL // three encodings
	HighDevice   = wire.Device_HIGH   // three encodings, and codecs that cost more
)

// Thermal is the operating system's word for how hot a device is.
type Thermal = wire.Device_Thermal

// The states of heat.
const (
	ThermalUnknown  = wire.Device_THERMAL_UNSPECIFIED
	ThermalNominal  = wire.Device_NOMINAL
	ThermalFair     = wire.Device_FAIR
	ThermalSerious  = wire.Device_SERIOUS
	ThermalCritical = wire.Device_CRITICAL
)

// Device is what a client knows of the machine it runs on; zero for what it does not know. The server chooses codecs and
// layers by it.
type Device struct {
	Class            DeviceClass
	Decoders         int  // videos it can decode at once
	Cores            int  // of its processor
	SavingPower      bool // on a battery that is low, or in a saving mode
	Thermal          Thermal
	HardwareEncoders []string // codecs that it encodes in hardware, named as in SDP: "H264"
}

func (d Device) wire() *wire.Device {
	return &wire.Device{
		Class: d.Class, Decoders: uint32(max(d.Decoders, 0)), Cores: uint32(max(d.Cores, 0)),
		SavingPower: d.SavingPower, Thermal: d.Thermal, HardwareEncoders: d.HardwareEncoders,
	}
}
