using Marmot.Blossom.Storage;
using Marmot.TestKit;
using Marmot.TestKit.Disks;

namespace Marmot.Blossom.Tests.Storage;

/// <summary>Files of a folder whose every write and flush a <see cref="TestDisk"/> takes down, with a look before each: there the power may fail.</summary>
internal sealed class RecordedDisk(string root) : IDisposable
{
    private readonly TestDisk _disk = new(root);
    private readonly TemporaryFolder _cuts = new();
    private readonly Lock _gate = new();
    private int _count;

    /// <summary>Called before every write and flush, under the lock of the disk.</summary>
    public Action? Step { get; set; }

    /// <summary>The seam of the formats.</summary>
    public IDiskFile Open(string path)
    {
        lock (_gate)
        {
            _disk.Create(path);
        }

        return new RecordedFile(this, path, DiskFile.Open(path));
    }

    /// <summary>A file whose flushes do nothing: for looking at what a cut left, thousands of times.</summary>
    public static IDiskFile OpenUnflushed(string path) => new UnflushedFile(DiskFile.Open(path));

    /// <summary>The formats flush the folder of a file when they open it.</summary>
    public void FlushFolder(string path)
    {
        lock (_gate)
        {
            _disk.FlushFolder(path);
        }
    }

    /// <summary>A folder with what a power cut now could leave.</summary>
    public string Cut(Random random)
    {
        lock (_gate)
        {
            var folder = _cuts.File($"cut{_count++}");
            _disk.Cut(random, folder);
            return folder;
        }
    }

    public void Dispose() => _cuts.Dispose();

    private sealed class RecordedFile(RecordedDisk disk, string path, IDiskFile file) : IDiskFile
    {
        public long Length => file.Length;

        public int Read(Span<byte> target, long offset) => file.Read(target, offset);

        public void Write(ReadOnlySpan<byte> bytes, long offset)
        {
            lock (disk._gate)
            {
                disk.Step?.Invoke();
                disk._disk.Write(path, offset, bytes);
                file.Write(bytes, offset);
            }
        }

        public void Flush()
        {
            lock (disk._gate)
            {
                disk.Step?.Invoke();
                disk._disk.Flush(path);
            }
        }

        public void Dispose() => file.Dispose();
    }

    private sealed class UnflushedFile(IDiskFile file) : IDiskFile
    {
        public long Length => file.Length;

        public int Read(Span<byte> target, long offset) => file.Read(target, offset);

        public void Write(ReadOnlySpan<byte> bytes, long offset) => file.Write(bytes, offset);

        public void Flush()
        {
        }

        public void Dispose() => file.Dispose();
    }
}
