using System.Net;
using Marmot.Blossom.Retention;
using Marmot.Protocol.Keys;
using Microsoft.Extensions.DependencyInjection;

namespace Marmot.Blossom.Tests;

/// <summary>The date of the machine is set back and forth by hours while the store runs.</summary>
public sealed class ClockStepTests
{
    private static readonly int[] Hours = [3, -5, 26, -25, 1, -48, 48];

    [Fact]
    public async Task Uploads_downloads_and_sweeps_go_on_while_the_date_steps_by_hours()
    {
        await using var server = await BlossomServer.StartAsync();
        using var key = SecretKey.Generate();
        var blobs = new List<byte[]>();
        foreach (var hours in Hours)
        {
            server.Clock.Advance(TimeSpan.FromHours(hours));
            foreach (var size in new[] { 500, 50_000 }) // a cell and a file
            {
                var blob = BlossomServer.RandomBlob(size);
                using var uploaded = await server.UploadAsync(key, blob);
                Assert.True(uploaded.IsSuccessStatusCode, uploaded.ReasonPhrase);
                blobs.Add(blob);
            }

            await server.Services.GetRequiredService<Janitor>().SweepAsync(default);
            await server.Services.GetRequiredService<Blobs.BlobService>().RemoveOrphansAsync(default);
            foreach (var blob in blobs)
            {
                Assert.Equal(blob, await server.Http.GetByteArrayAsync($"/{BlossomServer.HashOf(blob)}"));
            }
        }

        Assert.Equal(HttpStatusCode.NoContent, (await server.DeleteAsync(key, BlossomServer.HashOf(blobs[0]))).StatusCode);
    }
}
