using System.Text;
using Marmot.Hosting.Cluster;
using Marmot.Hosting.Redis;
using Marmot.TestKit.Servers;
using Microsoft.Extensions.Logging.Abstractions;

namespace Marmot.Hosting.Tests.Cluster;

public sealed class RedisBusTests(RedisFixture redis) : ClusterBusContract, IClassFixture<RedisFixture>
{
    private readonly string _name = redis.NextName();

    private protected override Task<IClusterBus> JoinAsync() =>
        Task.FromResult<IClusterBus>(new RedisBus(new RedisEndpoint("127.0.0.1", redis.Server.Port), _name, NullLogger.Instance));
}

/// <summary>With a server of its own, since it is killed.</summary>
public sealed class RedisBusOutageTests
{
    [Fact]
    public async Task Heals_after_the_server_died_and_says_what_may_be_missing()
    {
        await using var server = await RedisServer.StartAsync();
        await BusOutage.HealsAsync(
            () => new RedisBus(new RedisEndpoint("127.0.0.1", server.Port), "t", NullLogger.Instance), server.KillAsync, server.StartAgainAsync);
    }
}

[Collection(PostgresTests.Name)]
public sealed class PostgresBusTests(PostgresFixture postgres) : ClusterBusContract, IAsyncLifetime
{
    private string _database = "";

    public async Task InitializeAsync() => _database = await postgres.Server.CreateDatabaseAsync();

    public Task DisposeAsync() => Task.CompletedTask;

    private protected override Task<IClusterBus> JoinAsync() => Task.FromResult<IClusterBus>(new PostgresBus(_database, NullLogger.Instance));

    [Fact]
    public async Task Heals_after_the_server_died_and_says_what_may_be_missing() =>
        await BusOutage.HealsAsync(() => new PostgresBus(_database, NullLogger.Instance), postgres.Server.CrashAsync, postgres.Server.StartAgainAsync);
}

internal static class BusOutage
{
    public static async Task HealsAsync(Func<IClusterBus> join, Func<Task> kill, Func<Task> restart)
    {
        await using var a = join();
        await using var b = join();
        var (earA, earB) = (new ClusterBusContract.Ear(), new ClusterBusContract.Ear());
        a.Subscribe("x", earA);
        b.Subscribe("x", earB);
        await Eventually.TrueAsync(() => a.IsConnected && b.IsConnected && earA.Gaps > 0 && earB.Gaps > 0, "both connected");
        a.Publish("x", "before"u8.ToArray());
        await earB.HearsAsync("before");
        var gaps = earB.Gaps;

        await kill();
        a.Publish("x", "lost"u8.ToArray());
        await Eventually.TrueAsync(() => !a.IsConnected && !b.IsConnected, "both notice");
        a.Publish("x", "lost too"u8.ToArray());
        await restart();
        await Eventually.TrueAsync(() => a.IsConnected && b.IsConnected && earB.Gaps > gaps, "both back, with a gap");

        // From the moment both are back messages pass again, and nothing is heard twice.
        for (var i = 0; earB.Heard.All(m => m is "before" or "lost too"); i++)
        {
            a.Publish("x", Encoding.ASCII.GetBytes($"after{i}"));
            await Task.Delay(5);
        }

        Assert.Equal(earB.Heard.Distinct(), earB.Heard);
        Assert.DoesNotContain("lost", earB.Heard);
    }
}
