using Marmot.Blossom.Index;
using Marmot.Protocol.Encoding;

namespace Marmot.Blossom.Tests.Index;

/// <summary>What every index must do; each implementation derives from this.</summary>
public abstract class BlobIndexContract
{
    private static readonly Bytes32 Alice = Filled(1);
    private static readonly Bytes32 Bob = Filled(2);

    private protected SettableClock Clock { get; } = new(DateTimeOffset.FromUnixTimeSeconds(1_000_000));

    /// <summary>Opens the index; opening it again after disposal finds what was written.</summary>
    private protected abstract IBlobIndex Open();

    [Fact]
    public async Task Finds_what_was_added_and_nothing_else()
    {
        await using var index = Open();
        Assert.True(await index.AddAsync(Claim(9, Alice), default));
        Assert.False(await index.AddAsync(Claim(9, Bob), default));
        Assert.False(await index.AddAsync(Claim(9, Bob), default));
        Assert.Equal(new BlobEntry(Filled(9), 10, "image/png", 1_000_000, null, 2), await index.FindAsync(Filled(9), default));
        Assert.Null(await index.FindAsync(Filled(8), default));
        Assert.Equal(new BlobTotals(1, 2, 10), index.Totals);
    }

    [Fact]
    public async Task Removing_the_last_claim_removes_the_blob()
    {
        await using var index = Open();
        await index.AddAsync(Claim(9, Alice), default);
        await index.AddAsync(Claim(9, Bob), default);
        Assert.Equal(ClaimRemoval.NoBlob, await index.RemoveAsync(Filled(8), Alice, default));
        Assert.Equal(ClaimRemoval.NotOwner, await index.RemoveAsync(Filled(9), Filled(3), default));
        Assert.Equal(ClaimRemoval.Removed, await index.RemoveAsync(Filled(9), Alice, default));
        Assert.Equal(ClaimRemoval.NotOwner, await index.RemoveAsync(Filled(9), Alice, default));
        Assert.Equal(ClaimRemoval.RemovedLast, await index.RemoveAsync(Filled(9), Bob, default));
        Assert.Null(await index.FindAsync(Filled(9), default));
        Assert.Equal(new BlobTotals(0, 0, 0), index.Totals);
    }

    [Fact]
    public async Task Ended_claims_count_as_gone_and_are_found_to_be_swept()
    {
        await using var index = Open();
        await index.AddAsync(Claim(9, Alice, 1_000_010), default);
        await index.AddAsync(Claim(9, Bob, 1_000_020), default);
        Assert.Equal(1_000_020, (await index.FindAsync(Filled(9), default))!.ExpiresAt);
        Clock.Advance(TimeSpan.FromSeconds(10));
        Assert.Equal(1, (await index.FindAsync(Filled(9), default))!.Claims);
        Assert.Equal([Filled(9)], await index.FindExpiredAsync(10, default));
        Assert.False(await index.RemoveExpiredAsync(Filled(9), default));
        Clock.Advance(TimeSpan.FromSeconds(10));
        Assert.Null(await index.FindAsync(Filled(9), default));
        Assert.Equal([Filled(9)], await index.FindExpiredAsync(10, default));
        Assert.True(await index.RemoveExpiredAsync(Filled(9), default));
        Assert.Equal(new BlobTotals(0, 0, 0), index.Totals);
    }

    [Fact]
    public async Task A_renewed_claim_has_the_new_end_only()
    {
        await using var index = Open();
        await index.AddAsync(Claim(9, Alice, 1_000_010), default);
        await index.AddAsync(Claim(9, Alice, 1_000_050), default);
        Clock.Advance(TimeSpan.FromSeconds(10));
        Assert.Empty(await index.FindExpiredAsync(10, default));
        Assert.NotNull(await index.FindAsync(Filled(9), default));
        Clock.Advance(TimeSpan.FromSeconds(40));
        Assert.Equal([Filled(9)], await index.FindExpiredAsync(10, default));
    }

    [Fact]
    public async Task Everything_is_there_after_opening_again()
    {
        await using (var index = Open())
        {
            for (byte i = 10; i < 60; i++)
            {
                await index.AddAsync(Claim(i, Alice, 1_000_100 + i), default);
            }

            await index.RemoveBlobAsync(Filled(10), default);
            await index.AddAsync(Claim(11, Bob), default);
        }

        await using (var index = Open())
        {
            Assert.Equal(new BlobTotals(49, 50, 490), index.Totals);
            Assert.Null(await index.FindAsync(Filled(10), default));
            Assert.Null((await index.FindAsync(Filled(11), default))!.ExpiresAt);
            Assert.Equal(1_000_112, (await index.FindAsync(Filled(12), default))!.ExpiresAt);
            Assert.Equal(49, (await index.ListAsync(Alice, null, 100, default)).Count);
        }
    }

    [Fact]
    public async Task Agrees_with_a_slow_obvious_model_on_random_changes()
    {
        var random = new Random(20261121);
        var model = new Dictionary<(Bytes32 Hash, Bytes32 Owner), long?>();
        for (var opening = 0; opening < 3; opening++)
        {
            await using var index = Open();
            for (var step = 0; step < 400; step++)
            {
                var (hash, owner) = (Filled((byte)(100 + random.Next(12))), Filled((byte)(1 + random.Next(4))));
                switch (random.Next(10))
                {
                    case < 5:
                        long? ends = random.Next(2) == 0 ? null : Clock.GetUtcNow().ToUnixTimeSeconds() + random.Next(1, 50);
                        await index.AddAsync(new BlobClaim(hash, owner, 10, "a/b", 1, ends), default);
                        model[(hash, owner)] = ends;
                        break;
                    case < 8:
                        await index.RemoveAsync(hash, owner, default);
                        model.Remove((hash, owner));
                        break;
                    case 8:
                        await index.RemoveBlobAsync(hash, default);
                        model.Keys.Where(key => key.Hash == hash).ToList().ForEach(key => model.Remove(key));
                        break;
                    default:
                        Clock.Advance(TimeSpan.FromSeconds(3));
                        break;
                }

                var now = Clock.GetUtcNow().ToUnixTimeSeconds();
                var expected = model.Count(pair => pair.Key.Hash == hash && !(pair.Value <= now));
                Assert.Equal(expected, (await index.FindAsync(hash, default))?.Claims ?? 0);
            }

            Assert.Equal(model.Count, index.Totals.Claims);
        }
    }

    private protected static Bytes32 Filled(byte value) => new(Enumerable.Repeat(value, 32).ToArray());

    private static BlobClaim Claim(byte hash, Bytes32 owner, long? ends = null) => new(Filled(hash), owner, 10, "image/png", 1_000_000, ends);
}
