namespace Marmot.TestKit.Disks;

/// <summary>A disk that loses power: it takes down every write of the code under test in sectors, with a flush as the only barrier, and says what may be left
/// at any moment.</summary>
/// <remarks>
/// <para>
/// The code under test works on real files in <paramref name="root"/>; a test puts a recorder at the code's seam for file operations, which tells this disk of
/// each call. <see cref="Cut"/> then writes what a power cut could leave into another folder: of each sector written since the last flush of its file
/// any version, the old one included, independently of all others; of the entries of a folder those up to any point since its last flush.
/// </para>
/// <para>So a file that was flushed, but whose folder was not since the file was made, may be missing. Paths may be absolute or relative to the root. Not
/// thread-safe.</para>
/// </remarks>
/// <param name="root">The folder the code under test works in. Everything recorded lies below it.</param>
public sealed class TestDisk(string root)
{
    /// <summary>What a disk writes as a whole or not at all, bytes.</summary>
    public const int SectorSize = 512;

    private readonly string _root = Path.GetFullPath(root);
    private readonly Dictionary<string, Content> _now = [];
    private readonly Dictionary<string, Content> _durable = [];
    private readonly List<EntryChange> _changes = [];

    private enum Arrival
    {
        Each,
        Most,
        Few,
        All,
        None,
    }

    /// <summary>How many writes the disk has taken.</summary>
    public long Writes { get; private set; }

    /// <summary>How many flushes of files and folders it has carried out.</summary>
    public long Flushes { get; private set; }

    /// <summary>A file's name came into its folder: it is new and empty. Nothing happens when it is there.</summary>
    public void Create(string path)
    {
        var name = NameOf(path);
        if (!_now.ContainsKey(name))
        {
            Enter(name, new Content());
        }
    }

    /// <summary>Bytes were written; a file that is not there is made.</summary>
    public void Write(string path, long offset, ReadOnlySpan<byte> bytes)
    {
        Create(path);
        _now[NameOf(path)].Write(offset, bytes);
        Writes++;
    }

    /// <summary>The file was cut or grew; what it grows by is zeros.</summary>
    public void SetLength(string path, long length)
    {
        Create(path);
        _now[NameOf(path)].SetLength(length);
        Writes++;
    }

    /// <summary>fsync or fdatasync of a file: all of its content so far is on the disk, its name perhaps not.</summary>
    public void Flush(string path)
    {
        _now[NameOf(path)].Flush();
        Flushes++;
    }

    /// <summary>fsync of a folder: what came, went and was renamed in it is on the disk.</summary>
    public void FlushFolder(string path)
    {
        var folder = NameOf(path);
        for (var i = 0; i < _changes.Count;)
        {
            if (_changes[i].Folder == folder)
            {
                Apply(_durable, _changes[i]);
                _changes.RemoveAt(i);
            }
            else
            {
                i++;
            }
        }

        Flushes++;
    }

    /// <summary>A file was renamed within its folder; one that had the new name is gone.</summary>
    public void Move(string from, string to)
    {
        string source = NameOf(from), target = NameOf(to);
        if (FolderOf(source) != FolderOf(target))
        {
            throw new NotSupportedException("renames between folders are not modelled");
        }

        var change = new EntryChange(FolderOf(source), target, _now[source], source);
        Apply(_now, change);
        _changes.Add(change);
    }

    /// <summary>A file was deleted.</summary>
    public void Delete(string path)
    {
        var name = NameOf(path);
        if (_now.ContainsKey(name))
        {
            Enter(name, null);
        }
    }

    /// <summary>Writes what a power cut now could leave into a folder that is empty or not there. May be called any number of times: nothing changes
    /// here.</summary>
    /// <param name="random">Decides what arrives; the same state and seed leave the same.</param>
    /// <param name="folder">Gets the files.</param>
    public void Cut(Random random, string folder)
    {
        // Some cuts lose nearly everything and some nearly nothing: those find the mistakes of one lost or one early sector.
        var arrival = (Arrival)random.Next(5);
        var entries = new Dictionary<string, Content>(_durable);
        foreach (var inFolder in _changes.GroupBy(change => change.Folder))
        {
            var arrived = arrival switch { Arrival.All => int.MaxValue, Arrival.None => 0, _ => random.Next(inFolder.Count() + 1) };
            foreach (var change in inFolder.Take(arrived))
            {
                Apply(entries, change);
            }
        }

        Directory.CreateDirectory(folder);
        foreach (var (name, content) in entries.OrderBy(entry => entry.Key, StringComparer.Ordinal))
        {
            var path = Path.Combine(folder, name);
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            content.WriteRemains(path, random, arrival);
        }
    }

    private static void Apply(Dictionary<string, Content> entries, EntryChange change)
    {
        if (change.OldName is { } old)
        {
            entries.Remove(old);
        }

        if (change.Content is { } content)
        {
            entries[change.Name] = content;
        }
        else
        {
            entries.Remove(change.Name);
        }
    }

    private static string FolderOf(string name) => Path.GetDirectoryName(name) ?? "";

    private void Enter(string name, Content? content)
    {
        var change = new EntryChange(FolderOf(name), name, content, OldName: null);
        Apply(_now, change);
        _changes.Add(change);
    }

    private string NameOf(string path)
    {
        var relative = Path.GetRelativePath(_root, Path.GetFullPath(path, _root));
        return relative == "." ? "" : relative;
    }

    /// <summary>What happened to a name: a file got it (from an old name, when it was renamed), or nobody has it any more.</summary>
    private sealed record EntryChange(string Folder, string Name, Content? Content, string? OldName);

    /// <summary>One file's content: what is surely on the disk, and the later versions of each sector that may be.</summary>
    private sealed class Content
    {
        private static readonly byte[] Zeros = new byte[SectorSize];
        private readonly Dictionary<long, byte[]> _durable = [];
        private readonly Dictionary<long, List<byte[]>> _later = [];
        private readonly List<long> _laterLengths = [];
        private long _durableLength;

        private long Length => _laterLengths.Count > 0 ? _laterLengths[^1] : _durableLength;

        public void Write(long offset, ReadOnlySpan<byte> bytes)
        {
            while (!bytes.IsEmpty)
            {
                var (sector, inside) = Math.DivRem(offset, SectorSize);
                var part = bytes[..(int)Math.Min(bytes.Length, SectorSize - inside)];
                var version = Newest(sector).ToArray();
                part.CopyTo(version.AsSpan((int)inside));
                Add(sector, version);
                offset += part.Length;
                bytes = bytes[part.Length..];
            }

            if (offset > Length)
            {
                _laterLengths.Add(offset);
            }
        }

        public void SetLength(long length)
        {
            if (length < Length)
            {
                foreach (var sector in _durable.Keys.Union(_later.Keys).Where(sector => (sector + 1) * SectorSize > length).ToArray())
                {
                    var version = Newest(sector).ToArray();
                    version.AsSpan((int)Math.Max(0, length - (sector * SectorSize))).Clear();
                    Add(sector, version);
                }
            }

            _laterLengths.Add(length);
        }

        public void Flush()
        {
            foreach (var (sector, versions) in _later)
            {
                _durable[sector] = versions[^1];
            }

            _later.Clear();
            _durableLength = Length;
            _laterLengths.Clear();
        }

        public void WriteRemains(string path, Random random, Arrival arrival)
        {
            var length = Choose(_durableLength, _laterLengths, random, arrival);
            using var file = new FileStream(path, FileMode.Create, FileAccess.Write);
            foreach (var sector in _durable.Keys.Union(_later.Keys).Order())
            {
                var version = Choose(_durable.GetValueOrDefault(sector, Zeros), _later.GetValueOrDefault(sector, []), random, arrival);
                var size = (int)Math.Min(SectorSize, length - (sector * SectorSize));
                if (size > 0 && version.AsSpan(0, size).ContainsAnyExcept((byte)0))
                {
                    file.Position = sector * SectorSize;
                    file.Write(version, 0, size);
                }
            }

            file.SetLength(length);
        }

        private static T Choose<T>(T durable, List<T> later, Random random, Arrival arrival)
        {
            var newest = later.Count > 0 ? later[^1] : durable;
            return arrival switch
            {
                Arrival.All => newest,
                Arrival.None => durable,
                Arrival.Most when random.Next(10) > 0 => newest,
                Arrival.Few when random.Next(10) > 0 => durable,
                _ => random.Next(later.Count + 1) is var version and > 0 ? later[version - 1] : durable,
            };
        }

        private byte[] Newest(long sector) =>
            _later.TryGetValue(sector, out var versions) ? versions[^1] : _durable.GetValueOrDefault(sector, Zeros);

        private void Add(long sector, byte[] version)
        {
            if (!_later.TryGetValue(sector, out var versions))
            {
                _later[sector] = versions = [];
            }

            versions.Add(version);
        }
    }
}
