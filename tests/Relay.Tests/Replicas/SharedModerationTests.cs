using System.Diagnostics;
using System.Text.Json;
using Marmot.Hosting.Moderating;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;
using Marmot.Relay.Management;
using Marmot.Relay.Storage.Postgres;
using Marmot.Relay.Tests.Kit;
using Marmot.Relay.Tests.Storage.Postgres;
using Marmot.TestKit.Servers;
using Microsoft.Extensions.DependencyInjection;

namespace Marmot.Relay.Tests.Replicas;

/// <summary>What the operator decides through one replica holds on all (NIP-86).</summary>
[Collection(PostgresFixture.Collection)]
[Trait("Spec", "NIP-86")]
public sealed class SharedModerationTests(PostgresFixture postgres)
{
    private const long Now = 1_700_000_500;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_decision_on_one_replica_reaches_the_others_by_the_bus_and_outlives_them(bool redis)
    {
        var database = await postgres.CreateDatabaseAsync();
        await using var server = redis ? await RedisServer.StartAsync() : null;
        string[] settings = ["--Cluster:PollInterval=00:01:00", .. redis ? [$"--Cluster:Redis={server!.Endpoint}"] : Array.Empty<string>()];
        using var key = SecretKey.Generate();
        var note = NostrEvent.Create(key, 1, [], "a", Now);
        await using (var a = await StartAsync(database, settings))
        await using (var b = await StartAsync(database, settings))
        {
            await using var client = await b.ConnectAsync();
            Assert.True((await client.PublishAsync(note)).Accepted);
            await CallAsync(a, "banpubkey", key.PublicKey.ToString(), "spam");
            await CallAsync(a, "changerelayname", "Both");
            await EventuallyAsync(() => State(b).Name == "Both");
            Assert.StartsWith("blocked: ", (await client.PublishAsync(note)).Text, StringComparison.Ordinal);
            Assert.Empty(await client.QueryAsync("{}"));

            await CallAsync(a, "blockip", "127.0.0.1");
            await Assert.ThrowsAnyAsync<Exception>(client.ReceiveAsync); // the other replica's open connection ends
        }

        await using var later = await StartAsync(database, settings);
        Assert.Equal(key.PublicKey.ToString(), Assert.Single(State(later).BannedKeys).Key);
        Assert.Equal("127.0.0.1", Assert.Single(State(later).BlockedAddresses).Key);
    }

    [Fact]
    public async Task Decisions_made_on_two_replicas_at_once_all_stand()
    {
        var database = await postgres.CreateDatabaseAsync();
        await using var a = await StartAsync(database, "--Cluster:PollInterval=00:01:00");
        await using var b = await StartAsync(database, "--Cluster:PollInterval=00:01:00");
        var ids = Enumerable.Range(0, 40).Select(i => new string((char)('0' + (i / 10)), 63) + (i % 10)).ToList();
        await Task.WhenAll(ids.Select((id, i) => CallAsync(i % 2 == 0 ? a : b, "banevent", id)));
        await EventuallyAsync(() => State(a).BannedEvents.Count == ids.Count && State(b).BannedEvents.Count == ids.Count);
        Assert.Equal(ids, State(a).BannedEvents.Keys.Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task What_no_message_tells_is_found_by_looking_and_a_banned_event_that_came_meanwhile_is_removed()
    {
        var database = await postgres.CreateDatabaseAsync();
        await using var relay = await StartAsync(database, "--Cluster:PollInterval=00:00:00.2");
        await using var client = await relay.ConnectAsync();
        using var key = SecretKey.Generate();
        var note = NostrEvent.Create(key, 1, [], "a", Now);
        Assert.True((await client.PublishAsync(note)).Accepted);

        var row = relay.Services.GetRequiredService<PostgresEventStore>().Moderation;
        var (version, state) = await row.ReadAsync(CancellationToken.None);
        var ban = state with { BannedEvents = new() { [note.Id.ToString()] = "" } };
        Assert.False(await row.TryReplaceAsync(version + 1, ban, CancellationToken.None));
        Assert.True(await row.TryReplaceAsync(version, ban, CancellationToken.None));
        await EventuallyAsync(() => State(relay).BannedEvents.Count == 1);
        var started = Stopwatch.GetTimestamp();
        while ((await client.QueryAsync("{}")).Count > 0)
        {
            Assert.True(Stopwatch.GetElapsedTime(started) < TimeSpan.FromSeconds(20), "never removed");
        }
    }

    private static Task<RelayHost> StartAsync(string database, params string[] settings) =>
        RelayHost.StartAsync(Now, null, [$"--Storage:Postgres={database}", .. settings]);

    private static ModerationState State(RelayHost relay) => relay.Services.GetRequiredService<Moderation>().State;

    private static async Task CallAsync(RelayHost relay, string method, params string[] parameters) =>
        await relay.Services.GetRequiredService<ManagementMethods>()
            .CallAsync(method, JsonSerializer.SerializeToElement(parameters), "test", CancellationToken.None);

    private static async Task EventuallyAsync(Func<bool> condition)
    {
        var started = Stopwatch.GetTimestamp();
        while (!condition())
        {
            Assert.True(Stopwatch.GetElapsedTime(started) < TimeSpan.FromSeconds(20), "never came");
            await Task.Delay(10);
        }
    }
}
