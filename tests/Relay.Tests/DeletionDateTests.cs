using Marmot.Hosting.Deletion;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;
using Marmot.Relay.Ingest;
using Marmot.Relay.Maintenance;
using Marmot.Relay.Storage;
using Marmot.Relay.Tests.Kit;
using Marmot.TestKit;
using Microsoft.Extensions.DependencyInjection;

namespace Marmot.Relay.Tests;

/// <summary>The system clock jumps ahead: neither retention nor NIP-40 may delete by it before it has stood.</summary>
[Trait("Clock", "Date")]
public sealed class DeletionDateTests : IDisposable
{
    private const long Now = 1_700_000_500;
    private const string Setting = "--Relay:RetentionDays:1=2";
    private static readonly TimeSpan Year = TimeSpan.FromDays(365);

    private readonly TemporaryFolder _folder = new();
    private readonly SecretKey _key = SecretKey.Generate();

    public void Dispose()
    {
        _key.Dispose();
        _folder.Dispose();
    }

    [Fact]
    public async Task A_year_ahead_for_half_an_hour_deletes_nothing_and_afterwards_all_is_served()
    {
        await using var relay = await StartAsync(Now);
        var ids = await PublishAsync(relay);
        relay.Clock.Advance(Year);
        for (var minutes = 0; minutes < 30; minutes += 5)
        {
            Assert.Equal(2, await LeftAsync(relay));
            relay.Clock.Wait(TimeSpan.FromMinutes(5));
        }

        await using var client = await relay.ConnectAsync();
        Assert.Equal([ids[0]], await client.QueryAsync("{}")); // what has ended by the system date is not served
        relay.Clock.Advance(-Year);
        Assert.Equal(2, await LeftAsync(relay));
        Assert.Equal(ids.Order(), (await client.QueryAsync("{}")).Order());
    }

    [Fact]
    public async Task A_date_that_has_stood_deletes_both()
    {
        await using var relay = await StartAsync(Now);
        await PublishAsync(relay);
        relay.Clock.Advance(Year);
        Assert.Equal(2, await LeftAsync(relay));
        relay.Clock.Wait(DeletionDate.Hold);
        Assert.Equal(0, await LeftAsync(relay));
    }

    [Fact]
    public async Task A_start_with_the_date_a_year_ahead_deletes_nothing_and_one_after_a_long_pause_deletes_an_hour_late()
    {
        string[] ids;
        await using (var relay = await StartAsync(Now))
        {
            ids = await PublishAsync(relay);
            Assert.Equal(2, await LeftAsync(relay));
        }

        await using (var relay = await StartAsync(Now + (long)Year.TotalSeconds))
        {
            Assert.Equal(2, await LeftAsync(relay));
        }

        await using (var relay = await StartAsync(Now))
        {
            await using var client = await relay.ConnectAsync();
            Assert.Equal(ids.Order(), (await client.QueryAsync("{}")).Order());
        }

        await using (var relay = await StartAsync(Now + (30 * 86_400)))
        {
            Assert.Equal(2, await LeftAsync(relay));
            relay.Clock.Wait(DeletionDate.Hold);
            Assert.Equal(0, await LeftAsync(relay));
        }
    }

    [Fact]
    public async Task Compact_goes_by_the_date_of_the_last_run_and_not_by_a_system_date_that_is_years_ahead_of_it()
    {
        string[] ids;
        await using (var relay = await StartAsync(Now))
        {
            ids = await PublishAsync(relay);
            Assert.Equal(2, await LeftAsync(relay));
            Assert.Equal(1, await CompactAsync()); // not beside a running relay
        }

        // What ends between the last run and the system's date of today, years later, stays.
        Assert.Equal(0, await CompactAsync());
        await using (var relay = await StartAsync(Now))
        {
            await using var client = await relay.ConnectAsync();
            Assert.Equal(ids.Order(), (await client.QueryAsync("{}")).Order());
        }

        // What had ended by the date of the last run goes.
        var date = _folder.File(DeletionDateFile.Name);
        Assert.StartsWith("17000005", await File.ReadAllTextAsync(date), StringComparison.Ordinal);
        await File.WriteAllTextAsync(date, (Now + 7200).ToString(System.Globalization.CultureInfo.InvariantCulture));
        Assert.Equal(0, await CompactAsync());
        await using (var relay = await StartAsync(Now))
        {
            await using var client = await relay.ConnectAsync();
            Assert.Equal([ids[0]], await client.QueryAsync("{}"));
            Assert.Equal(1, await LeftAsync(relay));
        }
    }

    [Fact]
    public async Task Compact_while_the_date_is_held_back_does_not_shorten_the_hold()
    {
        await using (var relay = await StartAsync(Now))
        {
            await PublishAsync(relay);
            Assert.Equal(2, await LeftAsync(relay));
        }

        // A start a year ahead holds back; a stop, a compaction and another start begin the hour anew.
        for (var i = 0; i < 2; i++)
        {
            await using (var relay = await StartAsync(Now + (long)Year.TotalSeconds))
            {
                relay.Clock.Wait(DeletionDate.Hold / 4);
                Assert.Equal(2, await LeftAsync(relay));
                relay.Clock.Wait(DeletionDate.Hold / 2);
                Assert.Equal(2, await LeftAsync(relay));
            }

            Assert.Equal(0, await CompactAsync());
        }
    }

    private Task<int> CompactAsync() => RelayCommands.RunAsync(["compact", "--Storage:DataDirectory=" + _folder.Path]);

    private Task<RelayHost> StartAsync(long now) => RelayHost.StartAsync(now, _folder.Path, Setting);

    /// <summary>One that retention deletes after two days and one that ends after two hours.</summary>
    private async Task<string[]> PublishAsync(RelayHost relay)
    {
        var kept = NostrEvent.Create(_key, 1, [], "for two days", Now);
        var ending = NostrEvent.Create(_key, 7, [["expiration", (Now + 7200).ToString(System.Globalization.CultureInfo.InvariantCulture)]], "+", Now);
        await using var client = await relay.ConnectAsync();
        Assert.True((await client.PublishAsync(kept)).Accepted);
        Assert.True((await client.PublishAsync(ending)).Accepted);
        return [kept.Id.ToString(), ending.Id.ToString()];
    }

    /// <summary>Events in the store after one round of retention and one of the writer's maintenance.</summary>
    private static async Task<long> LeftAsync(RelayHost relay)
    {
        await relay.Services.GetRequiredService<RetentionLoop>().RunOnceAsync(default);
        relay.Clock.Wait(TimeSpan.FromSeconds(2)); // maintenance is due
        var writer = relay.Services.GetRequiredService<EventWriterLoop>();
        await writer.RemoveAsync([], CancellationToken.None); // the round that does this maintains afterwards
        await writer.RemoveAsync([], CancellationToken.None); // and has ended when the next one does this
        return (await relay.Services.GetRequiredService<IEventStore>().ReadStatisticsAsync(default)).Events;
    }
}
