using System.Collections.Concurrent;
using System.Net;
using Marmot.Protocol.Auth;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Keys;
using Marmot.TestKit;

namespace Marmot.Blossom.Tests.Commands;

/// <remarks>The environment variables BLOSSOM_CRASH_ROUNDS and BLOSSOM_CRASH_OPERATIONS make it larger: 50 and 1000 is the full size, some minutes.</remarks>
public sealed class CrashTests
{
    private const int Sides = 4;
    private static readonly int Rounds = SizeOf("BLOSSOM_CRASH_ROUNDS", 8);
    private static readonly int Operations = SizeOf("BLOSSOM_CRASH_OPERATIONS", 200);

    [Fact]
    public async Task Killed_under_load_it_keeps_every_acknowledged_upload_and_deletion_and_verifies_clean()
    {
        using var folder = new TemporaryFolder();
        using var key = SecretKey.Generate();
        var random = new Random(20261121);
        var (allKept, allDeleted) = (new HashSet<Bytes32>(), new HashSet<Bytes32>());
        var kept = new ConcurrentDictionary<Bytes32, byte>();
        var deleted = new ConcurrentDictionary<Bytes32, byte>();
        for (var round = 0; round < Rounds; round++)
        {
            using var server = await BlossomProcess.StartAsync(folder.Path);
            using var http = new HttpClient { BaseAddress = server.Address };
            await CheckAsync(http, kept.Keys, deleted.Keys); // of the round before
            allKept.UnionWith(kept.Keys);
            allDeleted.UnionWith(deleted.Keys);
            kept.Clear();
            deleted.Clear();
            var beforeTheKill = random.Next(1, Operations);
            var answers = 0;
            var enough = new TaskCompletionSource();
            var load = Enumerable.Range(0, Sides).Select(_ => LoadAsync(http, key, kept, deleted, () =>
            {
                if (Interlocked.Increment(ref answers) == beforeTheKill)
                {
                    enough.TrySetResult();
                }
            })).ToArray();
            await enough.Task;
            await server.KillAsync();
            await Task.WhenAll(load);
        }

        allKept.UnionWith(kept.Keys);
        allDeleted.UnionWith(deleted.Keys);
        Assert.True(allKept.Count > Rounds && allDeleted.Count > Rounds, $"{allKept.Count} kept, {allDeleted.Count} deleted");
        var (collected, _) = await BlossomProcess.RunAsync("gc", $"--Storage:DataDirectory={folder.Path}");
        Assert.Equal(0, collected);
        var (exit, output) = await BlossomProcess.RunAsync("verify", $"--Storage:DataDirectory={folder.Path}");
        Assert.True(exit == 0, output);
        Assert.Contains("\"damaged\":0,\"missing\":0,\"unclaimed\":0", output, StringComparison.Ordinal);
        var (_, list) = await BlossomProcess.RunAsync("list", $"--Storage:DataDirectory={folder.Path}");
        var claimed = list.Split('\n', StringSplitOptions.RemoveEmptyEntries).Where(line => line.StartsWith('{'))
            .Select(line => Bytes32.ParseHex(System.Text.Json.JsonDocument.Parse(line).RootElement.GetProperty("sha256").GetString()!)).ToHashSet();
        Assert.Empty(allKept.Except(claimed));
        Assert.Empty(allDeleted.Intersect(claimed));
    }

    private static int SizeOf(string name, int normal) =>
        int.TryParse(Environment.GetEnvironmentVariable(name), System.Globalization.CultureInfo.InvariantCulture, out var size) ? size : normal;

    private static async Task LoadAsync(HttpClient http, SecretKey key, ConcurrentDictionary<Bytes32, byte> kept, ConcurrentDictionary<Bytes32, byte> deleted,
        Action answered)
    {
        try
        {
            for (var i = 0; ; i++)
            {
                var blob = BlossomServer.RandomBlob(i % 7 == 0 ? 300_000 : 1000 + i);
                var hash = BlossomServer.HashOf(blob);
                if ((await SendAsync(http, key, HttpMethod.Put, "/upload", BlossomVerb.Upload, hash, blob)) == HttpStatusCode.Created)
                {
                    kept[hash] = 0;
                    answered();
                }

                if (i % 3 == 0)
                {
                    kept.TryRemove(hash, out _); // until it is answered, either outcome is right
                    if ((await SendAsync(http, key, HttpMethod.Delete, $"/{hash}", BlossomVerb.Delete, hash, null)) == HttpStatusCode.NoContent)
                    {
                        deleted[hash] = 0;
                        answered();
                    }
                }
            }
        }
        catch (Exception error) when (error is HttpRequestException or IOException)
        {
            // killed
        }
    }

    private static async Task CheckAsync(HttpClient http, IEnumerable<Bytes32> kept, IEnumerable<Bytes32> deleted)
    {
        foreach (var hash in kept)
        {
            Assert.Equal(hash, BlossomServer.HashOf(await http.GetByteArrayAsync($"/{hash}")));
        }

        foreach (var hash in deleted)
        {
            using var answer = await http.GetAsync($"/{hash}");
            Assert.Equal(HttpStatusCode.NotFound, answer.StatusCode);
        }
    }

    private static async Task<HttpStatusCode> SendAsync(HttpClient http, SecretKey key, HttpMethod method, string path, BlossomVerb verb,
        Bytes32 hash, byte[]? body)
    {
        using var request = new HttpRequestMessage(method, path) { Content = body is null ? null : new ByteArrayContent(body) };
        request.Headers.TryAddWithoutValidation("Authorization",
            BlossomAuth.CreateHeader(key, verb, [hash], null, DateTimeOffset.UtcNow, TimeSpan.FromMinutes(5)));
        using var answer = await http.SendAsync(request);
        return answer.StatusCode;
    }
}
