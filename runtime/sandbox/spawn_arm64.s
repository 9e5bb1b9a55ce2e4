#include "textflag.h"

// func rawClone3(args unsafe.Pointer, size uintptr) (pid, errno uintptr)
//
// The return address is in the link register, of which parent and child each
// have their own; see spawn_amd64.s.
TEXT ·rawClone3(SB),NOSPLIT|NOFRAME,$0-32
	MOVD	args+0(FP), R0
	MOVD	size+8(FP), R1
	MOVD	$435, R8
	SVC
	CMN	$4095, R0
	BCC	done
	NEG	R0, R0
	MOVD	ZR, pid+16(FP)
	MOVD	R0, errno+24(FP)
	RET
done:
	MOVD	R0, pid+16(FP)
	MOVD	ZR, errno+24(FP)
	RET
