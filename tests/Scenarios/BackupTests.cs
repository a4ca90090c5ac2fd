using System.Globalization;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;
using Marmot.TestKit;

namespace Marmot.Scenarios;

/// <summary>The ways docs/operate.md names to keep a copy, taken and put back.</summary>
public sealed class BackupTests : IDisposable
{
    private readonly TemporaryFolder _data = new();
    private readonly TemporaryFolder _backup = new();
    private readonly TemporaryFolder _restored = new();
    private readonly SecretKey _alice = SecretKey.Generate();
    private readonly HttpClient _client = new();

    public void Dispose()
    {
        _client.Dispose();
        _alice.Dispose();
        _restored.Dispose();
        _backup.Dispose();
        _data.Dispose();
    }

    [Fact]
    public async Task A_cold_copy_of_the_data_directory_brings_back_events_blobs_their_owner_and_the_push_key()
    {
        var evt = NostrEvent.Create(_alice, 1, [["t", "kept"]], "hello", DateTimeOffset.UtcNow.ToUnixTimeSeconds());
        byte[] blob = RandomNumberGenerator.GetBytes(100_000);
        string hash = Convert.ToHexStringLower(SHA256.HashData(blob));
        string archive = Path.Combine(_backup.Path, "marmot.tar.gz");
        string pushKey;
        await using (var first = await MarmotServerProcess.StartAsync("all", _data.Path))
        {
            pushKey = first.NotifyKey;
            Assert.Equal($"[\"OK\",\"{evt.Id}\",true,\"\"]",
                await RelayQuestions.AskAsync(first.RelayUrl, "[\"EVENT\"," + Encoding.UTF8.GetString(evt.Json.Span) + "]"));
            using var stored = await SendAsync(first.HttpUrl, HttpMethod.Put, "/upload", "upload", hash, blob);
            Assert.True(stored.IsSuccessStatusCode);
            Assert.Equal(0, await first.StopAsync());
        }

        await TarAsync("-czf", archive, "-C", _data.Path, ".");
        await TarAsync("-xzf", archive, "-C", _restored.Path);

        await using var second = await MarmotServerProcess.StartAsync("all", _restored.Path);
        Assert.Equal(pushKey, second.NotifyKey);
        Assert.Equal("[\"EVENT\",\"q\"," + Encoding.UTF8.GetString(evt.Json.Span) + "]",
            await RelayQuestions.AskAsync(second.RelayUrl, $"[\"REQ\",\"q\",{{\"ids\":[\"{evt.Id}\"]}}]"));
        Assert.Equal(blob, await _client.GetByteArrayAsync(new Uri(second.HttpUrl, hash)));
        // The owner is known only by a keyed hash; its secret came along.
        using var deleted = await SendAsync(second.HttpUrl, HttpMethod.Delete, "/" + hash, "delete", hash, null);
        Assert.True(deleted.IsSuccessStatusCode);
    }

    [Fact]
    public async Task Exported_events_are_imported_into_an_empty_relay_without_the_deleted_ones()
    {
        long now = DateTimeOffset.UtcNow.ToUnixTimeSeconds();
        var kept = NostrEvent.Create(_alice, 1, [], "kept", now);
        var gone = NostrEvent.Create(_alice, 1, [], "gone", now);
        var deletion = NostrEvent.Create(_alice, 5, [["e", gone.Id.ToString()]], "", now);
        await using (var first = await MarmotServerProcess.StartAsync("relay", _data.Path))
        {
            foreach (var evt in new[] { kept, gone, deletion })
            {
                Assert.Contains(",true,", await RelayQuestions.AskAsync(first.RelayUrl, "[\"EVENT\"," + Encoding.UTF8.GetString(evt.Json.Span) + "]"),
                    StringComparison.Ordinal);
            }

            Assert.Equal(0, await first.StopAsync());
        }

        string file = Path.Combine(_backup.Path, "events.jsonl");
        await RunAsync("relay", "export", file, $"--Storage:DataDirectory={_data.Path}");
        Assert.DoesNotContain("\"gone\"", await File.ReadAllTextAsync(file), StringComparison.Ordinal);
        await RunAsync("relay", "import", file, $"--Storage:DataDirectory={_restored.Path}");

        await using var second = await MarmotServerProcess.StartAsync("relay", _restored.Path);
        Assert.StartsWith("[\"EVENT\"", await RelayQuestions.AskAsync(second.RelayUrl, $"[\"REQ\",\"q\",{{\"ids\":[\"{kept.Id}\"]}}]"),
            StringComparison.Ordinal);
        Assert.StartsWith("[\"EOSE\"", await RelayQuestions.AskAsync(second.RelayUrl, $"[\"REQ\",\"q\",{{\"ids\":[\"{gone.Id}\"]}}]"),
            StringComparison.Ordinal);
    }

    private async Task<HttpResponseMessage> SendAsync(Uri server, HttpMethod method, string path, string verb, string hash, byte[]? body)
    {
        long now = DateTimeOffset.UtcNow.ToUnixTimeSeconds();
        string[][] tags = [["t", verb], ["x", hash], ["expiration", (now + 300).ToString(CultureInfo.InvariantCulture)]];
        var token = NostrEvent.Create(_alice, 24242, tags, verb, now);
        using var request = new HttpRequestMessage(method, new Uri(server, path));
        request.Headers.Authorization = new AuthenticationHeaderValue("Nostr", Convert.ToBase64String(token.Json.Span));
        request.Content = body is null ? null : new ByteArrayContent(body);
        return await _client.SendAsync(request);
    }

    private static Task TarAsync(params string[] arguments) => EndsWithZeroAsync(ChildProcess.Start("tar", arguments));

    private static Task RunAsync(params string[] arguments) => EndsWithZeroAsync(ChildProcess.Start("dotnet", [SettingsTests.Program, .. arguments]));

    private static async Task EndsWithZeroAsync(ChildProcess process)
    {
        await using (process)
        {
            int exitCode = await process.WaitForExitAsync(TimeSpan.FromSeconds(60));
            Assert.True(exitCode == 0, process.Output);
        }
    }
}
