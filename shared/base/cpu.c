/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/base/cpu.h"

#include <stdatomic.h>

static _Atomic(enum xb_cpu) limit = XB_CPU_AVX512_VBMI;

/* The processor's word counts only if the kernel keeps the registers; the compiler's function asks
 * for both. */
static enum xb_cpu detect(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2")) {
        return XB_CPU_PORTABLE;
    }
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512vl") ||
        !__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512dq")) {
        return XB_CPU_AVX2;
    }
    return __builtin_cpu_supports("avx512vbmi") ? XB_CPU_AVX512_VBMI : XB_CPU_AVX512;
#else
    return XB_CPU_PORTABLE;
#endif
}

enum xb_cpu xb_cpu_level(void)
{
    enum xb_cpu most = atomic_load_explicit(&limit, memory_order_relaxed);
    enum xb_cpu here = detect();
    return here < most ? here : most;
}

const char *xb_cpu_name(enum xb_cpu level)
{
    switch (level) {
    case XB_CPU_AVX512_VBMI:
        return "AVX-512 with VBMI";
    case XB_CPU_AVX512:
        return "AVX-512";
    case XB_CPU_AVX2:
        return "AVX2";
    case XB_CPU_PORTABLE:
    default:
        return "portable";
    }
}

void xb_cpu_limit(enum xb_cpu most)
{
    atomic_store(&limit, most);
}
