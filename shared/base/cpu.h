/* SPDX-License-Identifier: Apache-2.0
 *
 * cpu.h - which vector instructions this processor has.
 *
 * What for:  code with several forms, compiled for different instructions, picks one at run time.
 * Threads:   any.    Blocking: never.
 */
#pragma once

/* Each includes those before it. */
enum xb_cpu {
    XB_CPU_PORTABLE,   /* what the compiler takes for granted */
    XB_CPU_AVX2,       /* 256 bits (Haswell, Zen) */
    XB_CPU_AVX512,     /* F, VL, BW, DQ: 32 registers, rotations (Skylake-SP) */
    XB_CPU_AVX512_VBMI /* VBMI: look-ups of bytes (Ice Lake, Zen 4) */
};

/* The best that there is, or the limit if that is less. */
enum xb_cpu xb_cpu_level(void);
const char *xb_cpu_name(enum xb_cpu level);

/* For tests and benchmarks: use no more than `most` from now on. */
void xb_cpu_limit(enum xb_cpu most);
