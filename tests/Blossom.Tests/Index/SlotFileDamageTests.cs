using Marmot.Blossom.Index;
using Marmot.Blossom.Tests.Storage;
using Marmot.Protocol.Encoding;
using Marmot.TestKit;
using Marmot.TestKit.Disks;
using Xunit.Abstractions;

namespace Marmot.Blossom.Tests.Index;

/// <summary>claims.index on a disk that loses power, and on one that flips bits.</summary>
public sealed class SlotFileDamageTests(ITestOutputHelper output) : IDisposable
{
    private const int SeedCount = 60;
    private const int CutsOfASeed = 40;
    private readonly TemporaryFolder _folder = new();
    private readonly WallClock _clock = new(DateTimeOffset.FromUnixTimeSeconds(1_000_000));

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task After_any_of_thousands_of_power_cuts_every_acknowledged_change_is_there_and_nothing_else()
    {
        var cuts = 0;
        var first = Seeds.Next();
        output.WriteLine($"seed {first}");
        for (var i = 0; i < SeedCount; i++)
        {
            cuts += await CutAsync(first + i);
        }

        output.WriteLine($"{cuts} cuts");
        Assert.True(cuts > 2000, $"{cuts} cuts");
    }

    [Fact]
    public async Task A_flipped_bit_costs_the_claim_it_hit_alone_is_counted_and_leaves_its_bytes_as_they_are()
    {
        const int Claims = 8;
        const int Seed = 20261130;
        output.WriteLine($"seed {Seed}");
        var path = _folder.File("claims.index");
        await using (var index = new SlotFileIndex(path, _clock, listable: true))
        {
            for (byte i = 0; i < Claims; i++)
            {
                await index.AddAsync(Claim(i, 1, 5000 + i), default);
            }
        }

        Cut(path, (Claims + 4) * ClaimSlot.Size); // of the free slots behind them a few will do
        var checkedBytes = 0;
        await BitFlips.SweepAsync(path, 0, (Claims + 1) * ClaimSlot.Size, 1, Seed, async offset =>
        {
            var before = await File.ReadAllBytesAsync(path);
            await using (var index = new SlotFileIndex(path, _clock, listable: true, RecordedDisk.OpenUnflushed))
            {
                var hit = offset / ClaimSlot.Size;
                Assert.Equal(1, index.DamagedClaims);
                Assert.Equal(hit < Claims ? Claims - 1 : Claims, index.Totals.Claims);
                for (byte i = 0; i < Claims; i++)
                {
                    Assert.Equal(i == hit ? null : 1_005_000 + i, (await index.FindAsync(Filled(i), default))?.ExpiresAt);
                }

                // Use goes on around it.
                Assert.True((await index.AddAsync(Claim(100, 1, 9), default)).IsNew);
                await index.RemoveBlobAsync(Filled(100), default);
            }

            Assert.Equal(before, await File.ReadAllBytesAsync(path));
            checkedBytes++;
        });
        Assert.Equal((Claims + 1) * ClaimSlot.Size, checkedBytes);

        // Given up by the operator, and then used again.
        await using (var file = File.OpenWrite(path))
        {
            file.Position = 10;
            file.WriteByte(0xFF);
        }

        await using (var index = new SlotFileIndex(path, _clock, listable: true))
        {
            Assert.Equal(1, await index.DropDamagedAsync(default));
            Assert.Equal((0, Claims - 1L), (index.DamagedClaims, index.Totals.Claims));
        }

        Assert.All((await File.ReadAllBytesAsync(path))[..ClaimSlot.Size], value => Assert.Equal(0, value));
    }

    [Fact]
    public async Task After_a_flush_that_failed_nothing_is_acknowledged_any_more()
    {
        var path = _folder.File("claims.index");
        var broken = false;
        await using (var index = new SlotFileIndex(path, _clock, listable: true, file => new FailingFile(Blossom.Storage.DiskFile.Open(file), () => broken)))
        {
            await index.AddAsync(Claim(1, 1, 10), default);
            broken = true;
            await Assert.ThrowsAsync<Blossom.Storage.FlushFailedException>(async () => await index.AddAsync(Claim(2, 1, 10), default));
            broken = false; // as a disk does that has dropped what it could not write
            await Assert.ThrowsAsync<Blossom.Storage.FlushFailedException>(async () => await index.AddAsync(Claim(3, 1, 10), default));
            await Assert.ThrowsAsync<Blossom.Storage.FlushFailedException>(async () => await index.RemoveBlobAsync(Filled(1), default));
            Assert.NotNull(await index.FindAsync(Filled(1), default));
        }

        await using var again = new SlotFileIndex(path, _clock, listable: true);
        Assert.NotNull(await again.FindAsync(Filled(1), default));
    }

    private static void Cut(string path, long length)
    {
        using var file = File.OpenWrite(path);
        file.SetLength(length);
    }

    private async Task<int> CutAsync(int seed)
    {
        var random = new Random(seed);
        var cutting = new Random(seed);
        var known = new Lock();
        var root = _folder.File($"seed{seed}");
        Directory.CreateDirectory(root);
        using var disk = new RecordedDisk(root);
        var acknowledged = new Dictionary<(Bytes32 Hash, Bytes32 Owner), long?>();
        var changing = new HashSet<(Bytes32 Hash, Bytes32 Owner)>(); // not acknowledged yet: either outcome is right
        var after = new Dictionary<(Bytes32 Hash, Bytes32 Owner), long?>();
        List<(string Folder, Dictionary<(Bytes32, Bytes32), long?> Before, Dictionary<(Bytes32, Bytes32), long?> After,
            HashSet<(Bytes32, Bytes32)> Changing)> cuts = [];
        var index = new SlotFileIndex(Path.Combine(root, "claims.index"), _clock, listable: true, disk.Open);
        disk.FlushFolder("");
        disk.Step = MayCut;
        for (var step = 0; step < 400 && cuts.Count < CutsOfASeed; step++)
        {
            // Several changes at once, of different claims, make one batch.
            var keys = Enumerable.Range(0, random.Next(1, 4)).Select(_ => (Hash: Filled((byte)random.Next(6)), Owner: Filled((byte)(100 + random.Next(3)))))
                .Distinct().ToArray();
            var changes = keys.Select(key =>
                (Key: key, Remove: random.Next(3) == 0, Ends: random.Next(4) == 0 ? null : (long?)1_000_000 + random.Next(1, 1000))).ToArray();
            lock (known)
            {
                foreach (var (key, remove, ends) in changes)
                {
                    changing.Add(key);
                    after.Remove(key);
                    if (!remove)
                    {
                        after[key] = ends;
                    }
                }
            }

            await Task.WhenAll(changes.Select(async change =>
            {
                if (change.Remove)
                {
                    await index.RemoveAsync(change.Key.Hash, change.Key.Owner, default);
                }
                else
                {
                    await index.AddAsync(new BlobClaim(change.Key.Hash, change.Key.Owner, 10, "a/b", 1, change.Ends), default);
                }
            }));
            lock (known)
            {
                changing.Clear();
                acknowledged = new(after);
            }
        }

        await index.DisposeAsync();
        foreach (var (folder, before, afterwards, unknown) in cuts)
        {
            await using var left = new SlotFileIndex(Path.Combine(folder, "claims.index"), _clock, listable: true, RecordedDisk.OpenUnflushed);
            Assert.Equal(0, left.DamagedClaims);
            var found = new Dictionary<(Bytes32, Bytes32), long?>();
            await foreach (var claim in left.AllAsync(default))
            {
                found.Add((claim.Hash, claim.Owner), claim.ExpiresAt);
            }

            foreach (var key in found.Keys.Concat(before.Keys).Concat(afterwards.Keys).Distinct())
            {
                var (has, ends) = (found.TryGetValue(key, out var value), value);
                var asBefore = has == before.TryGetValue(key, out var old) && (!has || ends == old);
                var asAfter = has == afterwards.TryGetValue(key, out var next) && (!has || ends == next);
                Assert.True(asBefore || (unknown.Contains(key) && asAfter), $"seed {seed}, {folder}: a claim is {(has ? $"there until {ends}" : "gone")}");
            }
        }

        return cuts.Count;

        // Also after a change was acknowledged: what it replaced is erased then.
        void MayCut()
        {
            lock (known)
            {
                if (cutting.Next(4) == 0 && cuts.Count < CutsOfASeed)
                {
                    cuts.Add((disk.Cut(cutting), new(acknowledged), new(after), [.. changing]));
                }
            }
        }
    }

    private static BlobClaim Claim(byte hash, byte owner, long ends) =>
        new(Filled(hash), Filled(owner), 10, "image/png", 1_000_000, 1_000_000 + ends, Guid.NewGuid());

    private static Bytes32 Filled(byte value) => new([.. Enumerable.Repeat(value, 32)]);
}
