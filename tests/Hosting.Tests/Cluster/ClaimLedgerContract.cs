using System.Security.Cryptography;
using Marmot.Hosting.Cluster;
using Marmot.Hosting.Redis;
using Marmot.Protocol.Encoding;
using Marmot.TestKit;
using Marmot.TestKit.Servers;
using Microsoft.Extensions.Logging.Abstractions;

namespace Marmot.Hosting.Tests.Cluster;

/// <summary>What every ledger does; each implementation derives.</summary>
public abstract class ClaimLedgerContract
{
    internal static readonly TimeSpan Long = TimeSpan.FromMinutes(1);
    internal static readonly TimeSpan Short = TimeSpan.FromMilliseconds(100);

    /// <summary>The ledger of one more replica of the same cluster.</summary>
    private protected abstract IClaimLedger Join();

    internal static Bytes32 Any() => new(RandomNumberGenerator.GetBytes(32));

    internal static async Task<IClaimLedger> ConnectedAsync(IClaimLedger ledger)
    {
        await Eventually.TrueAsync(() => ledger.IsConnected, "the ledger");
        return ledger;
    }

    [Fact]
    public async Task Gives_each_piece_of_work_to_one_of_many_who_race_for_it()
    {
        var ledgers = new List<IClaimLedger>();
        for (var i = 0; i < 4; i++)
        {
            ledgers.Add(await ConnectedAsync(Join()));
        }

        var work = Enumerable.Range(0, 300).Select(_ => Any()).ToArray();
        var answers = await Task.WhenAll(work.SelectMany(hash => ledgers.Select(async ledger =>
        {
            await Task.Yield();
            return (hash, Answer: await ledger.ClaimAsync(hash, Any(), Long, CancellationToken.None));
        })));
        Assert.All(answers.GroupBy(a => a.hash), group =>
        {
            Assert.Single(group, a => a.Answer == ClaimAnswer.Owned);
            Assert.Equal(3, group.Count(a => a.Answer == ClaimAnswer.Held));
        });
        foreach (var ledger in ledgers)
        {
            await ledger.DisposeAsync();
        }
    }

    [Fact]
    public async Task Knows_what_is_done_until_the_window_ends()
    {
        await using var a = await ConnectedAsync(Join());
        await using var b = await ConnectedAsync(Join());
        var (hash, owner) = (Any(), Any());
        Assert.Equal(ClaimAnswer.Owned, await a.ClaimAsync(hash, owner, Long, CancellationToken.None));
        await a.CompleteAsync(hash, owner, Long, CancellationToken.None);
        Assert.Equal(ClaimAnswer.Done, await b.ClaimAsync(hash, Any(), Long, CancellationToken.None));
        Assert.Equal(ClaimAnswer.Done, await a.ClaimAsync(hash, owner, Long, CancellationToken.None));
        await a.CompleteAsync(hash, owner, Short, CancellationToken.None);
        await Eventually.TrueAsync(async () => await b.ClaimAsync(hash, Any(), Long, CancellationToken.None) == ClaimAnswer.Owned, "the window's end");
    }

    [Fact]
    public async Task Lets_the_next_have_what_was_given_back_or_left_lying()
    {
        await using var a = await ConnectedAsync(Join());
        await using var b = await ConnectedAsync(Join());
        var (hash, owner, other) = (Any(), Any(), Any());
        Assert.Equal(ClaimAnswer.Owned, await a.ClaimAsync(hash, owner, Long, CancellationToken.None));
        await b.ReleaseAsync(hash, other, CancellationToken.None); // not hers
        Assert.Equal(ClaimAnswer.Held, await b.ClaimAsync(hash, other, Long, CancellationToken.None));
        await a.ReleaseAsync(hash, owner, CancellationToken.None);
        Assert.Equal(ClaimAnswer.Owned, await b.ClaimAsync(hash, other, Short, CancellationToken.None));
        await Eventually.TrueAsync(async () => await a.ClaimAsync(hash, owner, Long, CancellationToken.None) == ClaimAnswer.Owned, "the lease's end");
        await a.CompleteAsync(hash, owner, Long, CancellationToken.None);
        await a.ReleaseAsync(hash, owner, CancellationToken.None); // too late: it is done
        Assert.Equal(ClaimAnswer.Done, await b.ClaimAsync(hash, other, Long, CancellationToken.None));
    }

    [Fact]
    public async Task Lets_the_first_offer_of_a_value_stand_until_it_ends()
    {
        await using var a = await ConnectedAsync(Join());
        await using var b = await ConnectedAsync(Join());
        var (name, other) = (Any(), Any());
        byte[] first = [0, 1, 13, 10, 255], second = [2];
        Assert.Equal(first, await ((ISharedValues)a).OfferAsync(name, first, Long, CancellationToken.None));
        Assert.Equal(first, await ((ISharedValues)b).OfferAsync(name, second, Long, CancellationToken.None));
        Assert.Equal(second, await ((ISharedValues)b).OfferAsync(other, second, Short, CancellationToken.None));
        await Eventually.TrueAsync(
            async () => (await ((ISharedValues)a).OfferAsync(other, first, Long, CancellationToken.None)).AsSpan().SequenceEqual(first),
            "the end of the value");
    }

    [Fact]
    public async Task Takes_a_claim_repeated_by_its_owner_for_the_same_claim()
    {
        await using var a = await ConnectedAsync(Join());
        var (hash, owner) = (Any(), Any());
        Assert.Equal(ClaimAnswer.Owned, await a.ClaimAsync(hash, owner, Long, CancellationToken.None));
        Assert.Equal(ClaimAnswer.Owned, await a.ClaimAsync(hash, owner, Long, CancellationToken.None));
        Assert.Equal(ClaimAnswer.Held, await a.ClaimAsync(hash, Any(), Long, CancellationToken.None));
    }
}

public sealed class InProcessLedgerTests : ClaimLedgerContract
{
    private readonly InProcessLedger _one = new(Clock.Running());

    private protected override IClaimLedger Join() => _one;
}

/// <summary>The same while the date steps back and forth by hours.</summary>
public sealed class InProcessLedgerOnASteppingClockTests : ClaimLedgerContract
{
    private readonly InProcessLedger _one = new(new SteppingClock());

    private protected override IClaimLedger Join() => _one;
}

public sealed class RedisLedgerTests(RedisFixture redis) : ClaimLedgerContract, IClassFixture<RedisFixture>
{
    private readonly string _name = redis.NextName();

    private protected override IClaimLedger Join() => new RedisLedger(new RedisEndpoint("127.0.0.1", redis.Server.Port), _name, NullLogger.Instance);
}

[Collection(PostgresTests.Name)]
public sealed class PostgresLedgerTests(PostgresFixture postgres) : ClaimLedgerContract, IAsyncLifetime
{
    private string _database = "";

    public async Task InitializeAsync() => _database = await postgres.Server.CreateDatabaseAsync();

    public Task DisposeAsync() => Task.CompletedTask;

    private protected override IClaimLedger Join() => new PostgresLedger(_database, NullLogger.Instance);

    [Fact]
    public async Task Says_that_the_server_cannot_be_asked_and_heals() =>
        await LedgerOutage.HealsAsync(Join(), postgres.Server.CrashAsync, postgres.Server.StartAgainAsync);

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task The_first_who_asks_after_a_restart_of_the_server_notices_nothing(bool clean)
    {
        await using var ledger = await ConnectedAsync(Join());
        var shared = (ISharedValues)ledger;
        var name = Any();
        byte[] value = [1];
        Assert.Equal(ClaimAnswer.Owned, await ledger.ClaimAsync(Any(), Any(), Long, CancellationToken.None));
        Assert.Equal(value, await shared.OfferAsync(name, value, Long, CancellationToken.None));
        await (clean ? postgres.Server.StopAsync() : postgres.Server.CrashAsync());
        await postgres.Server.StartAgainAsync();
        Assert.Equal(ClaimAnswer.Owned, await ledger.ClaimAsync(Any(), Any(), Long, CancellationToken.None));
        Assert.Equal(value, await shared.OfferAsync(name, value, Long, CancellationToken.None));
    }
}

public sealed class RedisLedgerOutageTests
{
    [Fact]
    public async Task Says_that_the_server_cannot_be_asked_and_heals()
    {
        await using var server = await RedisServer.StartAsync();
        await LedgerOutage.HealsAsync(
            new RedisLedger(new RedisEndpoint("127.0.0.1", server.Port), "t", NullLogger.Instance), server.KillAsync, server.StartAgainAsync);
    }
}

internal static class LedgerOutage
{
    public static async Task HealsAsync(IClaimLedger ledger, Func<Task> kill, Func<Task> restart)
    {
        await using (ledger)
        {
            await ClaimLedgerContract.ConnectedAsync(ledger);
            var (hash, owner) = (ClaimLedgerContract.Any(), ClaimLedgerContract.Any());
            Assert.Equal(ClaimAnswer.Owned, await ledger.ClaimAsync(hash, owner, ClaimLedgerContract.Long, CancellationToken.None));
            await kill();
            await Assert.ThrowsAnyAsync<IOException>(async () => await ledger.ClaimAsync(hash, owner, ClaimLedgerContract.Long, CancellationToken.None));
            await Eventually.TrueAsync(() => !ledger.IsConnected, "the loss is noticed");
            await restart();
            await Eventually.TrueAsync(
                async () =>
                {
                    try
                    {
                        return await ledger.ClaimAsync(hash, owner, ClaimLedgerContract.Long, CancellationToken.None) == ClaimAnswer.Owned;
                    }
                    catch (IOException)
                    {
                        return false;
                    }
                },
                "claims pass again");
            Assert.True(ledger.IsConnected);
        }
    }
}
