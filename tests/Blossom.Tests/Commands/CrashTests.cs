using System.Collections.Concurrent;
using System.Net;
using Marmot.Protocol.Auth;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Keys;

namespace Marmot.Blossom.Tests.Commands;

public sealed class CrashTests
{
    private const int Rounds = 6;
    private const int AnswersBeforeTheKill = 120;

    [Fact]
    public async Task Killed_under_load_it_keeps_every_acknowledged_upload_and_deletion_and_verifies_clean()
    {
        var folder = Directory.CreateTempSubdirectory("blossom-crash-").FullName;
        using var key = SecretKey.Generate();
        var kept = new ConcurrentDictionary<Bytes32, byte>();
        var deleted = new ConcurrentDictionary<Bytes32, byte>();
        for (var round = 0; round < Rounds; round++)
        {
            using var server = await BlossomProcess.StartAsync(folder);
            using var http = new HttpClient { BaseAddress = server.Address };
            await CheckAsync(http, kept.Keys, deleted.Keys);
            var answers = 0;
            var enough = new TaskCompletionSource();
            var load = Enumerable.Range(0, 4).Select(_ => LoadAsync(http, key, kept, deleted, () =>
            {
                if (Interlocked.Increment(ref answers) == AnswersBeforeTheKill)
                {
                    enough.TrySetResult();
                }
            })).ToArray();
            await enough.Task;
            await server.KillAsync();
            await Task.WhenAll(load);
        }

        Assert.True(kept.Count > 100 && deleted.Count > 20, $"{kept.Count} kept, {deleted.Count} deleted");
        var (collected, _) = await BlossomProcess.RunAsync("gc", $"--Storage:DataDirectory={folder}");
        Assert.Equal(0, collected);
        var (exit, output) = await BlossomProcess.RunAsync("verify", $"--Storage:DataDirectory={folder}");
        Assert.True(exit == 0, output);
        Assert.Contains("\"damaged\":0,\"missing\":0,\"unclaimed\":0", output, StringComparison.Ordinal);
        Directory.Delete(folder, recursive: true);
    }

    private static async Task LoadAsync(HttpClient http, SecretKey key, ConcurrentDictionary<Bytes32, byte> kept, ConcurrentDictionary<Bytes32, byte> deleted, Action answered)
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

    private static async Task<HttpStatusCode> SendAsync(HttpClient http, SecretKey key, HttpMethod method, string path, BlossomVerb verb, Bytes32 hash, byte[]? body)
    {
        using var request = new HttpRequestMessage(method, path) { Content = body is null ? null : new ByteArrayContent(body) };
        request.Headers.TryAddWithoutValidation("Authorization", BlossomAuth.CreateHeader(key, verb, [hash], null, DateTimeOffset.UtcNow, TimeSpan.FromMinutes(5)));
        using var answer = await http.SendAsync(request);
        return answer.StatusCode;
    }
}
