using Marmot.Relay.Storage.Log;
using Marmot.TestKit.Disks;
using Microsoft.Win32.SafeHandles;

namespace Marmot.Relay.Tests.Storage;

/// <summary>The event log's real files, with a disk beside them that loses power.</summary>
/// <param name="disk">Told of everything.</param>
internal sealed class RecordingLogDisk(TestDisk disk) : LogDisk
{
    /// <summary>Called after each change, before the code under test goes on.</summary>
    public Action? Changed { get; set; }

    public override SafeFileHandle Open(string path)
    {
        disk.Create(path);
        return base.Open(path);
    }

    public override void SetLength(SafeFileHandle file, string path, long length)
    {
        base.SetLength(file, path, length);
        disk.SetLength(path, length);
        Changed?.Invoke();
    }

    public override void Write(SafeFileHandle file, string path, ReadOnlySpan<byte> bytes, long offset)
    {
        base.Write(file, path, bytes, offset);
        disk.Write(path, offset, bytes);
        Changed?.Invoke();
    }

    public override void Flush(SafeFileHandle file, string path)
    {
        Changed?.Invoke(); // what is waited for is not there yet
        disk.Flush(path);
        Changed?.Invoke();
    }

    public override void FlushAll(SafeFileHandle file, string path) => Flush(file, path);

    public override void FlushFolder(string folder)
    {
        disk.FlushFolder(folder);
        Changed?.Invoke();
    }
}

/// <summary>A disk that nobody waits for: for stores that a test opens only to look at them.</summary>
internal sealed class QuickLogDisk : LogDisk
{
    public override void Flush(SafeFileHandle file, string path)
    {
    }

    public override void FlushAll(SafeFileHandle file, string path)
    {
    }

    public override void FlushFolder(string folder)
    {
    }
}
