using System.Runtime.InteropServices;

namespace Marmot.Benchmarks.Micro;

/// <summary>CPU time of this thread, so that other work on the machine does not count; the wall clock where there is no such clock.</summary>
internal static partial class ThreadClock
{
    private const int ThreadCpuTimeId = 3; // CLOCK_THREAD_CPUTIME_ID on Linux

    /// <summary>Nanoseconds from an arbitrary start.</summary>
    public static long Now()
    {
        if (OperatingSystem.IsLinux() && GetTime(ThreadCpuTimeId, out var time) == 0)
        {
            return (time.Seconds * 1_000_000_000L) + time.Nanoseconds;
        }

        return (long)(System.Diagnostics.Stopwatch.GetTimestamp() * (1e9 / System.Diagnostics.Stopwatch.Frequency));
    }

    [LibraryImport("libc", EntryPoint = "clock_gettime")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.System32)]
    private static partial int GetTime(int clock, out TimeSpec time);

    private struct TimeSpec
    {
        public long Seconds;
        public long Nanoseconds;
    }
}
