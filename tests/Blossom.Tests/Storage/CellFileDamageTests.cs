using Marmot.Blossom.Storage;
using Marmot.Protocol.Encoding;
using Marmot.TestKit;
using Marmot.TestKit.Disks;
using Xunit.Abstractions;

namespace Marmot.Blossom.Tests.Storage;

/// <summary>small.cells on a disk that loses power, and on one that flips bits.</summary>
public sealed class CellFileDamageTests(ITestOutputHelper output) : IDisposable
{
    private const int SeedCount = 40;
    private const int CutsOfASeed = 30;
    private const int CellBytes = 4096;
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task After_any_of_a_thousand_power_cuts_every_acknowledged_blob_is_whole_and_the_rest_is_free()
    {
        var cuts = 0;
        var first = Seeds.Next();
        output.WriteLine($"seed {first}");
        for (var i = 0; i < SeedCount; i++)
        {
            cuts += await CutAsync(first + i);
        }

        output.WriteLine($"{cuts} cuts");
        Assert.True(cuts > 1000, $"{cuts} cuts");
    }

    [Fact]
    public async Task A_flipped_bit_costs_the_blob_it_hit_alone_is_counted_and_leaves_its_bytes_as_they_are()
    {
        const int Seed = 20261130;
        output.WriteLine($"seed {Seed}");
        var path = _folder.File("small.cells");
        byte[][] blobs = [BlossomServer.RandomBlob(3), BlossomServer.RandomBlob(CellFile.MaxBlobBytes), BlossomServer.RandomBlob(1000)];
        var places = new List<BlobPlace>();
        using (var cells = Open(path))
        {
            foreach (var blob in blobs)
            {
                places.Add(await cells.AddAsync(BlossomServer.HashOf(blob), blob));
            }
        }

        using (var file = File.OpenWrite(path))
        {
            file.SetLength((blobs.Length + 1) * CellBytes); // of the free cells behind them one will do
        }

        // The sums go over the blob, not over the zeros behind it: a flip there is no damage to anything.
        var summed = new[] { 64 + 4, CellBytes, 64 + 1000 };
        for (var hit = 0; hit < places.Count; hit++)
        {
            await BitFlips.SweepAsync(path, hit * CellBytes, (hit * CellBytes) + summed[hit], 1, Seed, async _ =>
            {
                var before = await File.ReadAllBytesAsync(path);
                using (var cells = Open(path))
                {
                    Assert.True(cells.HasSuspects);
                    await cells.SortOutSuspectsAsync(places);
                    Assert.Equal(1, cells.Damaged);
                    for (var i = 0; i < places.Count; i++)
                    {
                        Assert.Equal(i == hit ? null : blobs[i], cells.Read(places[i]));
                        Assert.Equal(i == hit, cells.IsDamaged(places[i]));
                    }
                }

                Assert.Equal(before, await File.ReadAllBytesAsync(path));
            });
        }
    }

    [Fact]
    public async Task A_flip_while_the_server_runs_is_counted_by_who_reads_it_and_a_deletion_still_overwrites()
    {
        var path = _folder.File("small.cells");
        using var cells = Open(path);
        var blob = BlossomServer.RandomBlob(2000);
        var place = await cells.AddAsync(BlossomServer.HashOf(blob), blob);
        Flip(path, 500);
        Assert.Equal(0, cells.Damaged);
        Assert.Null(cells.Read(place));
        Assert.Null(cells.Read(new BlobPlace(place.Hash, Guid.NewGuid())));
        Assert.Equal(1, cells.Damaged);
        Assert.True(await cells.RemoveAsync(place));
        Assert.Equal(0, cells.Damaged);
        Assert.All(ReadShared(path)[..CellBytes], value => Assert.Equal(0, value));
        Assert.False(await cells.RemoveAsync(place));
    }

    [Fact]
    public async Task While_claims_cannot_be_read_nothing_that_may_be_theirs_is_cleared()
    {
        var path = _folder.File("small.cells");
        using (var cells = Open(path))
        {
            await cells.AddAsync(BlossomServer.HashOf([1]), new byte[] { 1 });
        }

        Flip(path, 64);
        using var again = Open(path);
        await again.SortOutSuspectsAsync(null);
        Assert.Equal(1, again.Damaged);
        Assert.NotEqual(0, ReadShared(path)[0]);
    }

    [Fact]
    public async Task After_a_flush_that_failed_no_blob_is_acknowledged_any_more()
    {
        var broken = false;
        using var cells = new CellFile(_folder.File("small.cells"), path => new FailingFile(DiskFile.Open(path), () => broken));
        var place = await cells.AddAsync(BlossomServer.HashOf([1]), new byte[] { 1 });
        broken = true;
        await Assert.ThrowsAsync<FlushFailedException>(async () => await cells.AddAsync(BlossomServer.HashOf([2]), new byte[] { 2 }));
        broken = false;
        await Assert.ThrowsAsync<FlushFailedException>(async () => await cells.AddAsync(BlossomServer.HashOf([3]), new byte[] { 3 }));
        Assert.Equal([1], cells.Read(place));
    }

    private static CellFile Open(string path)
    {
        var cells = new CellFile(path, RecordedDisk.OpenUnflushed);
        cells.Recover(default);
        return cells;
    }

    private static void Flip(string path, long offset)
    {
        using var file = new FileStream(path, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite);
        file.Position = offset;
        var value = file.ReadByte();
        file.Position = offset;
        file.WriteByte((byte)(value ^ 4));
    }

    private static byte[] ReadShared(string path)
    {
        using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        var bytes = new byte[file.Length];
        file.ReadExactly(bytes);
        return bytes;
    }

    private async Task<int> CutAsync(int seed)
    {
        var random = new Random(seed);
        var root = _folder.File($"seed{seed}");
        Directory.CreateDirectory(root);
        using var disk = new RecordedDisk(root);
        var acknowledged = new Dictionary<BlobPlace, byte[]>();
        BlobPlace? leaving = null;
        List<(string Folder, Dictionary<BlobPlace, byte[]> Before, BlobPlace? Leaving)> cuts = [];
        using (var cells = new CellFile(Path.Combine(root, "small.cells"), disk.Open))
        {
            disk.FlushFolder("");
            cells.Recover(default);
            disk.Step = () =>
            {
                if (random.Next(5) == 0 && cuts.Count < CutsOfASeed)
                {
                    cuts.Add((disk.Cut(random), new(acknowledged), leaving));
                }
            };
            for (var step = 0; step < 200 && cuts.Count < CutsOfASeed; step++)
            {
                if (acknowledged.Count > 3 && random.Next(2) == 0)
                {
                    leaving = acknowledged.Keys.ElementAt(random.Next(acknowledged.Count));
                    await cells.RemoveAsync(leaving.Value);
                    acknowledged.Remove(leaving.Value);
                    leaving = null;
                }
                else
                {
                    var blob = new byte[random.Next(CellFile.MaxBlobBytes + 1)];
                    random.NextBytes(blob);
                    acknowledged.Add(await cells.AddAsync(BlossomServer.HashOf(blob), blob), blob);
                }
            }
        }

        foreach (var (folder, before, going) in cuts)
        {
            using var left = new CellFile(Path.Combine(folder, "small.cells"), RecordedDisk.OpenUnflushed);
            left.Recover(default);
            await left.SortOutSuspectsAsync(before.Keys.Where(place => place != going)); // a claim goes before its bytes
            Assert.Equal(0, left.Damaged);
            foreach (var (place, blob) in before)
            {
                Assert.True(place == going || blob.AsSpan().SequenceEqual(left.Read(place)), $"seed {seed}, {folder}: a blob is not whole");
            }

            // What stands there beside those is whole too, and nothing is in the way of new ones.
            Assert.All(left.All(default), place => Assert.NotNull(left.Read(place)));
            Assert.NotNull(left.Read(await left.AddAsync(BlossomServer.HashOf([1]), new byte[] { 1 })));
            foreach (var (place, blob) in before)
            {
                Assert.True(place == going || blob.AsSpan().SequenceEqual(left.Read(place)), $"seed {seed}, {folder}: a new blob took the cell of another");
            }
        }

        return cuts.Count;
    }
}
