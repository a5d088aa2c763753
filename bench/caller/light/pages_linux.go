package light

import (
	"runtime/debug"

	"golang.org/x/sys/unix"
)

const (
	// fewCallers is up to when their memory fits the caches and it does not matter.
	fewCallers = 64
	// memoryOfCaller is what a process has mapped for each of a thousand, garbage included.
	memoryOfCaller = 256 << 10
)

// useLargePages has the kernel back the memory that callers will take with pages of 2 MiB, where it lets programs choose. Each
// packet is another caller's, so its state is in no cache and its page in no table of the processor's: within a virtual machine
// looking one up is dear. It was a twentieth to a tenth of what a caller costs.
func useLargePages(callers int) {
	if callers <= fewCallers {
		return
	}
	heap := make([]byte, callers*memoryOfCaller) // fresh from the system and never touched
	_ = unix.Madvise(heap, unix.MADV_HUGEPAGE)   // a kernel without them refuses: it goes on as before
	debug.FreeOSMemory()                         // the advice stays with the addresses, which the callers get
}
