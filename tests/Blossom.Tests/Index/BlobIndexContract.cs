using Marmot.Blossom.Index;
using Marmot.Blossom.Storage;
using Marmot.Protocol.Encoding;
using Marmot.TestKit;

namespace Marmot.Blossom.Tests.Index;

/// <summary>What every index must do; each implementation derives from this.</summary>
public abstract class BlobIndexContract
{
    private static readonly Bytes32 Alice = Filled(1);
    private static readonly Bytes32 Bob = Filled(2);

    private protected WallClock Clock { get; } = new(DateTimeOffset.FromUnixTimeSeconds(1_000_000));

    private long Now => Clock.GetUtcNow().ToUnixTimeSeconds();

    /// <summary>Opens the index; opening it again after disposal finds what was written.</summary>
    private protected abstract Task<IBlobIndex> OpenAsync();

    [Fact]
    public async Task Finds_what_was_added_and_nothing_else()
    {
        await using var index = await OpenAsync();
        Assert.True((await index.AddAsync(Claim(9, Alice), default)).IsNew);
        Assert.False((await index.AddAsync(Claim(9, Bob), default)).IsNew);
        Assert.False((await index.AddAsync(Claim(9, Bob), default)).IsNew);
        Assert.Equal(new BlobEntry(Filled(9), 10, "image/png", 1_000_000, null, 2), await index.FindAsync(Filled(9), default));
        Assert.Null(await index.FindAsync(Filled(8), default));
        Assert.Equal(new BlobTotals(1, 2, 10), index.Totals);
    }

    [Fact]
    public async Task A_blob_counts_as_unread_until_it_is_touched_or_uploaded_again_and_so_it_is_when_opened_anew()
    {
        await using (var index = await OpenAsync())
        {
            await index.AddAsync(Claim(9, Alice), default);
            await index.AddAsync(Claim(8, Alice), default);
            await index.AddAsync(Claim(7, Bob), default);
            await index.TouchAsync(Filled(8), Now + 100, default);
            await index.TouchAsync(Filled(6), Now + 100, default); // is not there
        }

        await using var again = await OpenAsync();
        Assert.Equal(new[] { Filled(7), Filled(9) }, (await again.FindUnreadAsync(Now + 50, 10, default)).Order());
        Assert.Single(await again.FindUnreadAsync(Now + 50, 1, default));
        Assert.Equal(3, (await again.FindUnreadAsync(Now + 101, 10, default)).Count);
        Assert.Null(await again.RemoveUnreadAsync(Filled(8), Now + 50, default));
        Assert.NotNull(await again.FindAsync(Filled(8), default));
        Assert.Equal(Filled(9), (await again.RemoveUnreadAsync(Filled(9), Now + 50, default))?.Hash);
        Assert.Null(await again.FindAsync(Filled(9), default));
    }

    [Fact]
    public async Task Bytes_of_an_owner_are_those_of_the_blobs_it_holds()
    {
        await using var index = await OpenAsync();
        await index.AddAsync(Claim(9, Alice), default);
        await index.AddAsync(Claim(8, Alice), default);
        await index.AddAsync(Claim(8, Alice), default); // renewed
        await index.AddAsync(Claim(8, Bob), default);
        Assert.Equal(20, await index.BytesOfAsync(Alice, default));
        Assert.Equal(10, await index.BytesOfAsync(Bob, default));
        await RemoveAsync(index, Filled(8), Alice);
        Assert.Equal(10, await index.BytesOfAsync(Alice, default));
        Assert.Equal(0, await index.BytesOfAsync(Filled(3), default));
    }

    [Fact]
    public async Task Removing_the_last_claim_removes_the_blob()
    {
        await using var index = await OpenAsync();
        await index.AddAsync(Claim(9, Alice), default);
        await index.AddAsync(Claim(9, Bob), default);
        Assert.Equal(ClaimRemoval.NoBlob, await RemoveAsync(index, Filled(8), Alice));
        Assert.Equal(ClaimRemoval.NotOwner, await RemoveAsync(index, Filled(9), Filled(3)));
        Assert.Equal(ClaimRemoval.Removed, await RemoveAsync(index, Filled(9), Alice));
        Assert.Equal(ClaimRemoval.NotOwner, await RemoveAsync(index, Filled(9), Alice));
        Assert.Equal(ClaimRemoval.RemovedLast, await RemoveAsync(index, Filled(9), Bob));
        Assert.Null(await index.FindAsync(Filled(9), default));
        Assert.Equal(new BlobTotals(0, 0, 0), index.Totals);
    }

    [Fact]
    public async Task Ended_claims_count_as_gone_and_are_found_to_be_swept()
    {
        await using var index = await OpenAsync();
        await index.AddAsync(Claim(9, Alice, 1_000_010), default);
        await index.AddAsync(Claim(9, Bob, 1_000_020), default);
        Assert.Equal(1_000_020, (await index.FindAsync(Filled(9), default))!.ExpiresAt);
        Clock.Advance(TimeSpan.FromSeconds(10));
        Assert.Equal(1, (await index.FindAsync(Filled(9), default))!.Claims);
        Assert.Equal([Filled(9)], await index.FindExpiredAsync(Now, 10, default));
        Assert.Null(await index.RemoveExpiredAsync(Filled(9), Now, default));
        Clock.Advance(TimeSpan.FromSeconds(10));
        Assert.Null(await index.FindAsync(Filled(9), default));
        Assert.Equal([Filled(9)], await index.FindExpiredAsync(Now, 10, default));
        Assert.NotNull(await index.RemoveExpiredAsync(Filled(9), Now, default));
        Assert.Equal(new BlobTotals(0, 0, 0), index.Totals);
    }

    [Fact]
    public async Task A_renewed_claim_has_the_new_end_only()
    {
        await using var index = await OpenAsync();
        await index.AddAsync(Claim(9, Alice, 1_000_010), default);
        await index.AddAsync(Claim(9, Alice, 1_000_050), default);
        Clock.Advance(TimeSpan.FromSeconds(10));
        Assert.Empty(await index.FindExpiredAsync(Now, 10, default));
        Assert.NotNull(await index.FindAsync(Filled(9), default));
        Clock.Advance(TimeSpan.FromSeconds(40));
        Assert.Equal([Filled(9)], await index.FindExpiredAsync(Now, 10, default));
    }

    [Fact]
    public async Task Everything_is_there_after_opening_again()
    {
        await using (var index = await OpenAsync())
        {
            for (byte i = 10; i < 60; i++)
            {
                await index.AddAsync(Claim(i, Alice, 1_000_100 + i), default);
            }

            await index.RemoveBlobAsync(Filled(10), default);
            await index.AddAsync(Claim(11, Bob), default);
        }

        await using (var index = await OpenAsync())
        {
            Assert.Equal(new BlobTotals(49, 50, 490), index.Totals);
            Assert.Null(await index.FindAsync(Filled(10), default));
            Assert.Null((await index.FindAsync(Filled(11), default))!.ExpiresAt);
            Assert.Equal(1_000_112, (await index.FindAsync(Filled(12), default))!.ExpiresAt);
            Assert.Equal(49, (await index.ListAsync(Alice, null, 100, default))!.Count);
        }
    }

    [Fact]
    public async Task A_claim_on_a_known_blob_leaves_its_bytes_where_they_are()
    {
        var (first, second) = (Guid.NewGuid(), Guid.NewGuid());
        await using var index = await OpenAsync();
        Assert.Equal(first, (await index.AddAsync(Claim(9, Alice) with { Mark = first }, default)).Entry.Mark);
        var late = await index.AddAsync(Claim(9, Bob, 1_000_010) with { Mark = second }, default);
        Assert.Equal((first, 2, false), (late.Entry.Mark, late.Entry.Claims, late.IsNew));
        Assert.Equal(first, (await index.FindAsync(Filled(9), default))!.Mark);
        Assert.Equal(new RemovedClaim(ClaimRemoval.Removed, default), await index.RemoveAsync(Filled(9), Alice, default));
        Assert.Equal(new RemovedClaim(ClaimRemoval.RemovedLast, new BlobPlace(Filled(9), first)), await index.RemoveAsync(Filled(9), Bob, default));
        Assert.Equal(second, (await index.AddAsync(Claim(9, Bob, 1_000_010) with { Mark = second }, default)).Entry.Mark);
        Assert.Equal(new BlobPlace(Filled(9), second), await index.RemoveBlobAsync(Filled(9), default));
        Assert.Null(await index.RemoveBlobAsync(Filled(9), default));
    }

    [Fact]
    public async Task One_joins_only_a_blob_that_is_there()
    {
        var mark = Guid.NewGuid();
        await using var index = await OpenAsync();
        Assert.Null(await index.JoinAsync(Claim(9, Bob), default));
        Assert.Null(await index.FindAsync(Filled(9), default));
        await index.AddAsync(Claim(9, Alice, 1_000_010) with { Mark = mark }, default);
        var joined = await index.JoinAsync(Claim(9, Bob) with { Type = "text/html", Size = 99 }, default);
        Assert.Equal(new BlobEntry(Filled(9), 10, "image/png", 1_000_000, null, 2, mark), joined);
        Assert.Equal(new BlobTotals(1, 2, 10), index.Totals);
        await index.RemoveAsync(Filled(9), Bob, default);
        Clock.Advance(TimeSpan.FromSeconds(10));
        Assert.Null(await index.JoinAsync(Claim(9, Bob), default)); // ended, though not swept
        Assert.True((await index.AddAsync(Claim(9, Bob) with { Mark = Guid.NewGuid() }, default)).IsNew);
        Assert.Equal(mark, (await index.FindAsync(Filled(9), default))!.Mark);
    }

    [Fact]
    public async Task A_list_is_newest_first_with_ties_by_hash_and_goes_on_after_the_last_one_seen()
    {
        await using var index = await OpenAsync();
        for (byte i = 20; i < 30; i++)
        {
            await index.AddAsync(Claim(i, Alice) with { UploadedAt = 1_000_000 + (i / 4) }, default);
            await index.AddAsync(Claim(i, Bob), default);
        }

        await index.AddAsync(Claim(30, Alice, 1_000_001), default);
        Clock.Advance(TimeSpan.FromSeconds(1));
        var expected = Enumerable.Range(20, 10).OrderByDescending(i => i / 4).ThenBy(i => i).Select(i => Filled((byte)i)).ToList();
        var seen = new List<Bytes32>();
        while (await index.ListAsync(Alice, seen.Count == 0 ? null : seen[^1], 3, default) is { Count: > 0 } page)
        {
            Assert.All(page, entry => Assert.Equal(2, entry.Claims));
            seen.AddRange(page.Select(entry => entry.Hash));
        }

        Assert.Equal(expected, seen);
        Assert.Null(await index.ListAsync(Alice, Filled(99), 3, default));
    }

    [Fact]
    public async Task A_list_goes_on_where_it_stood_when_the_last_one_seen_was_removed_since()
    {
        await using var index = await OpenAsync();
        for (byte i = 20; i < 26; i++)
        {
            await index.AddAsync(Claim(i, Alice, i == 21 ? 1_000_001 : null) with { UploadedAt = 1_000_000 + (i / 2) }, default);
        }

        var order = Enumerable.Range(20, 6).OrderByDescending(i => i / 2).ThenBy(i => i).Select(i => Filled((byte)i)).ToList();
        for (var last = 0; last < order.Count; last++)
        {
            if (order[last] == Filled(21))
            {
                Clock.Advance(TimeSpan.FromSeconds(2));
                await index.RemoveExpiredAsync(order[last], Now, default);
            }
            else if (last % 2 == 0)
            {
                await index.RemoveAsync(order[last], Alice, default);
            }
            else
            {
                await index.RemoveBlobAsync(order[last], default);
            }

            var rest = await index.ListAsync(Alice, order[last], 100, default);
            Assert.Equal(order[(last + 1)..], rest!.Select(entry => entry.Hash));
            Assert.Null(await index.ListAsync(Bob, order[last], 100, default));
        }
    }

    [Fact]
    public async Task A_better_type_that_an_owner_declares_later_replaces_octet_stream_and_nothing_else()
    {
        await using (var index = await OpenAsync())
        {
            await index.AddAsync(Claim(9, Alice) with { Type = "application/octet-stream" }, default);
            Assert.Equal("image/webp", (await index.JoinAsync(Claim(9, Bob) with { Type = "image/webp" }, default))!.Type);
            Assert.Equal("image/webp", (await index.JoinAsync(Claim(9, Filled(3)) with { Type = "application/octet-stream" }, default))!.Type);
            Assert.Equal("image/webp", (await index.JoinAsync(Claim(9, Filled(4)) with { Type = "text/html" }, default))!.Type);
            await index.AddAsync(Claim(10, Alice) with { Type = "application/octet-stream" }, default);
            Assert.Equal("image/png", (await index.AddAsync(Claim(10, Alice), default)).Entry.Type);
        }

        await using (var index = await OpenAsync())
        {
            Assert.Equal("image/webp", (await index.FindAsync(Filled(9), default))!.Type);
            Assert.Equal("image/png", (await index.FindAsync(Filled(10), default))!.Type);
        }
    }

    [Fact]
    public async Task Everything_can_be_told()
    {
        await using var index = await OpenAsync();
        var claims = new[] { Claim(9, Alice), Claim(9, Bob, 1_000_010), Claim(10, Bob, 999_999) };
        foreach (var claim in claims)
        {
            await index.AddAsync(claim, default);
        }

        var all = new List<BlobClaim>();
        await foreach (var claim in index.AllAsync(default))
        {
            all.Add(claim);
        }

        Assert.Equal(claims, all.OrderBy(claim => claim.Hash).ThenBy(claim => claim.Owner));
    }

    [Fact]
    public async Task Adding_and_removing_one_blob_from_many_sides_at_once_ends_with_whole_accounts()
    {
        await using var index = await OpenAsync();
        await Task.WhenAll(Enumerable.Range(1, 8).Select(async side =>
        {
            var owner = Filled((byte)side);
            for (var i = 0; i < 20; i++)
            {
                await index.AddAsync(Claim(9, owner) with { Mark = Guid.NewGuid() }, default);
                var removed = await index.RemoveAsync(Filled(9), owner, default);
                Assert.True(removed.Removal is ClaimRemoval.Removed or ClaimRemoval.RemovedLast);
            }
        }));
        Assert.Null(await index.FindAsync(Filled(9), default));
        Assert.Equal(new BlobTotals(0, 0, 0), index.Totals);
    }

    [Fact]
    public async Task Agrees_with_a_slow_obvious_model_on_random_changes()
    {
        var random = new Random(20261121);
        var model = new Dictionary<(Bytes32 Hash, Bytes32 Owner), long?>();
        for (var opening = 0; opening < 3; opening++)
        {
            await using var index = await OpenAsync();
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

    private static async Task<ClaimRemoval> RemoveAsync(IBlobIndex index, Bytes32 hash, Bytes32 owner) =>
        (await index.RemoveAsync(hash, owner, default)).Removal;

    private static BlobClaim Claim(byte hash, Bytes32 owner, long? ends = null) => new(Filled(hash), owner, 10, "image/png", 1_000_000, ends);
}
