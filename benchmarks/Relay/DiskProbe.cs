using System.Diagnostics;
using Microsoft.Win32.SafeHandles;

namespace Marmot.Benchmarks.RelayLoad;

/// <summary>A file that grows by a block and waits for the disk, again and again; gone when disposed.</summary>
internal sealed class DiskProbe : IDisposable
{
    private static readonly byte[] Block = new byte[4096];
    private readonly SafeFileHandle _file;
    private long _end;

    public DiskProbe(string directory) => _file = File.OpenHandle(
        Path.Combine(directory, "probe"), FileMode.Create, FileAccess.Write, FileShare.None, FileOptions.DeleteOnClose, preallocationSize: 1 << 20);

    /// <returns>Stopwatch ticks that one block took.</returns>
    public long Flush()
    {
        var started = Stopwatch.GetTimestamp();
        RandomAccess.Write(_file, Block, _end);
        RandomAccess.FlushToDisk(_file);
        _end += Block.Length;
        return Stopwatch.GetTimestamp() - started;
    }

    public void Dispose() => _file.Dispose();
}
