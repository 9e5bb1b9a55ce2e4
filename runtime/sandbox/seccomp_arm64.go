package sandbox

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_AARCH64

var allowedCallsOfArch = []uint32{unix.SYS_NEWFSTATAT}

var refusedCallsOfArch []uint32
