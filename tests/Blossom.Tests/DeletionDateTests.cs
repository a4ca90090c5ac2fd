using System.Globalization;
using System.Net;
using Marmot.Blossom.Blobs;
using Marmot.Blossom.Retention;
using Marmot.Blossom.Tests.Commands;
using Marmot.Hosting.Deletion;
using Marmot.Protocol.Keys;
using Marmot.TestKit;
using Microsoft.Extensions.DependencyInjection;

namespace Marmot.Blossom.Tests;

/// <summary>The system clock jumps ahead: neither the end a claim was given nor the search for bytes without a claim may delete by it before it has
/// stood.</summary>
[Trait("Clock", "Date")]
public sealed class DeletionDateTests : IDisposable
{
    private static readonly DateTimeOffset Start = DateTimeOffset.FromUnixTimeSeconds(1_790_000_000);
    private static readonly TimeSpan Year = TimeSpan.FromDays(365);

    private readonly TemporaryFolder _folder = new();
    private readonly SecretKey _key = SecretKey.Generate();

    // A cell and a file. Both are dated by the day, hours before the start: old enough for the search for bytes without a claim.
    private readonly byte[][] _blobs = [BlossomServer.RandomBlob(500), BlossomServer.RandomBlob(50_000)];

    public void Dispose()
    {
        _key.Dispose();
        _folder.Dispose();
    }

    [Fact]
    public async Task A_year_ahead_for_half_an_hour_deletes_nothing_and_afterwards_all_is_served()
    {
        await using var server = await StartAsync(Start);
        await UploadAsync(server);
        server.Clock.Advance(Year);
        for (var minutes = 0; minutes < 30; minutes += 5)
        {
            Assert.Equal(0, await SweepAsync(server));
            server.Clock.Wait(TimeSpan.FromMinutes(5));
        }

        Assert.Equal(HttpStatusCode.NotFound, (await server.SendAsync(HttpMethod.Get, $"/{BlossomServer.HashOf(_blobs[0])}")).StatusCode);
        server.Clock.Advance(-Year);
        Assert.Equal(0, await SweepAsync(server));
        await AllAreServedAsync(server);
    }

    [Fact]
    public async Task A_date_that_has_stood_deletes()
    {
        await using var server = await StartAsync(Start);
        await UploadAsync(server);
        server.Clock.Advance(Year);
        Assert.Equal(0, await SweepAsync(server));
        server.Clock.Wait(DeletionDate.Hold);
        await AllAreDeletedAsync(server);
    }

    [Fact]
    public async Task A_start_with_the_date_a_year_ahead_deletes_nothing_and_one_after_a_long_pause_deletes_an_hour_late()
    {
        await using (var server = await StartAsync(Start))
        {
            await UploadAsync(server);
            Assert.Equal(0, await SweepAsync(server));
        }

        await using (var server = await StartAsync(Start + Year))
        {
            Assert.Equal(0, await SweepAsync(server));
        }

        await using (var server = await StartAsync(Start))
        {
            await AllAreServedAsync(server);
        }

        await using (var server = await StartAsync(Start + TimeSpan.FromDays(30)))
        {
            Assert.Equal(0, await SweepAsync(server));
            server.Clock.Wait(DeletionDate.Hold);
            await AllAreDeletedAsync(server);
        }
    }

    [Fact]
    public async Task Gc_goes_by_the_date_of_the_last_run_and_not_by_a_system_date_that_is_years_ahead_of_it()
    {
        var start = DateTimeOffset.FromUnixTimeSeconds(1_700_000_000);
        await using (var server = await StartAsync(start))
        {
            await UploadAsync(server, start);
            Assert.Equal(0, await SweepAsync(server));
            Assert.Equal(0, (await CollectAsync()).Exit); // by the running server, whose date is its own
            await AllAreServedAsync(server);
        }

        // What ends between the last run and the system's date of today, years later, stays.
        var (exit, report) = await CollectAsync();
        Assert.Equal(0, exit);
        Assert.StartsWith("""{"ended":0,""", report, StringComparison.Ordinal);
        await using (var server = await StartAsync(start))
        {
            await AllAreServedAsync(server);
        }
    }

    private async Task<(int Exit, string Report)> CollectAsync()
    {
        var (exit, output) = await BlossomProcess.RunAsync("gc", $"--Storage:DataDirectory={_folder.Path}");
        return (exit, output.Split('\n').FirstOrDefault(line => line.StartsWith('{'), ""));
    }

    private Task<BlossomServer> StartAsync(DateTimeOffset now) =>
        BlossomServer.StartInAsync(_folder.Path, now, "--Blossom:Retention=2.00:00:00", "--Blossom:SweepInterval=01:00:00");

    private Task UploadAsync(BlossomServer server) => UploadAsync(server, Start);

    private async Task UploadAsync(BlossomServer server, DateTimeOffset start)
    {
        foreach (var blob in _blobs)
        {
            using var uploaded = await server.UploadAsync(_key, blob,
                headers: ("X-Expiration", (start + TimeSpan.FromHours(2)).ToUnixTimeSeconds().ToString(CultureInfo.InvariantCulture)));
            Assert.Equal(HttpStatusCode.Created, uploaded.StatusCode);
        }
    }

    private async Task AllAreServedAsync(BlossomServer server)
    {
        foreach (var blob in _blobs)
        {
            Assert.Equal(blob, await server.Http.GetByteArrayAsync($"/{BlossomServer.HashOf(blob)}"));
        }
    }

    /// <summary>By a round of ours or by the janitor's first, which may still be under way.</summary>
    private static async Task AllAreDeletedAsync(BlossomServer server)
    {
        for (var rounds = 0; rounds < 200 && server.BlobFiles().Any(); rounds++)
        {
            await SweepAsync(server);
            await Task.Delay(50);
        }

        Assert.Empty(server.BlobFiles());
    }

    /// <summary>How many blobs a round of the janitor deletes.</summary>
    private static async Task<int> SweepAsync(BlossomServer server) =>
        await server.Services.GetRequiredService<Janitor>().SweepAsync(default) + await server.Services.GetRequiredService<BlobService>()
            .RemoveOrphansAsync(default);
}
