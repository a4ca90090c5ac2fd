using Marmot.TestKit;
using Marmot.TestKit.Disks;

namespace Marmot.Relay.Tests.Storage;

/// <summary>The disk that the storage formats are tried on: it must lose what a real one may, and nothing else.</summary>
public sealed class TestDiskTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly TestDisk _disk;
    private int _cuts;

    public TestDiskTests() => _disk = new TestDisk(_folder.Path);

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void What_was_flushed_is_there_whatever_else_arrives()
    {
        _disk.Write("a", 0, Bytes(2000, 1));
        _disk.Flush("a");
        _disk.FlushFolder("");
        _disk.Write("a", 1000, Bytes(100, 2));
        for (var seed = 0; seed < 50; seed++)
        {
            var left = Left(seed)["a"];
            Assert.Equal(2000, left.Length);
            Assert.All(left[..1000].Concat(left[1100..]), b => Assert.Equal(1, b));
        }
    }

    [Fact]
    public void Each_sector_of_what_was_not_flushed_comes_or_stays_away_by_itself()
    {
        _disk.Write("a", 0, Bytes(3 * TestDisk.SectorSize, 1));
        _disk.Flush("a");
        _disk.FlushFolder("");
        _disk.Write("a", 0, Bytes(3 * TestDisk.SectorSize, 2));
        _disk.Write("a", 0, Bytes(TestDisk.SectorSize, 3));
        var seen = Enumerable.Range(0, 300).Select(seed => Left(seed)["a"]).Select(a => (a[0], a[TestDisk.SectorSize], a[2 * TestDisk.SectorSize])).ToHashSet();
        Assert.Equal(3 * 2 * 2, seen.Count);
    }

    [Fact]
    public void A_file_whose_folder_was_not_flushed_may_be_missing_and_a_renamed_one_has_one_of_its_names()
    {
        _disk.Write("a.new", 0, Bytes(10, 1));
        _disk.Flush("a.new");
        Assert.Equal(["", "a.new"], Names());
        _disk.FlushFolder("");
        Assert.Equal(["a.new"], Names());
        _disk.Move("a.new", "a");
        Assert.Equal(["a", "a.new"], Names());
        _disk.FlushFolder("");
        Assert.Equal(["a"], Names());
        _disk.Delete("a");
        Assert.Equal(["", "a"], Names());
    }

    private static byte[] Bytes(int count, byte value)
    {
        var bytes = new byte[count];
        bytes.AsSpan().Fill(value);
        return bytes;
    }

    private string[] Names() => [.. Enumerable.Range(0, 60).Select(seed => string.Join(' ', Left(seed).Keys)).Distinct().Order(StringComparer.Ordinal)];

    private Dictionary<string, byte[]> Left(int seed)
    {
        var folder = _folder.File($"cut{_cuts++}");
        _disk.Cut(new Random(seed), folder);
        return Directory.GetFiles(folder).ToDictionary(path => Path.GetFileName(path), File.ReadAllBytes);
    }
}
