#include "textflag.h"

// func rawClone3(args unsafe.Pointer, size uintptr) (pid, errno uintptr)
//
// The child shares the parent's stack until it executes. It returns from here
// and calls on, overwriting the slot that holds this frame's return address,
// so the address is kept in a register, of which each has its own.
TEXT ·rawClone3(SB),NOSPLIT|NOFRAME,$0-32
	MOVQ	args+0(FP), DI
	MOVQ	size+8(FP), SI
	MOVQ	$435, AX
	POPQ	R12
	SYSCALL
	PUSHQ	R12
	CMPQ	AX, $0xfffffffffffff001
	JCS	done
	NEGQ	AX
	MOVQ	$0, pid+16(FP)
	MOVQ	AX, errno+24(FP)
	RET
done:
	MOVQ	AX, pid+16(FP)
	MOVQ	$0, errno+24(FP)
	RET
