using System.Net;
using System.Text;
using System.Text.Json;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;
using Marmot.TestKit;

namespace Marmot.Scenarios;

public sealed class OneMachineTests : IDisposable
{
    private readonly TemporaryFolder _data = new();
    private readonly SecretKey _alice = SecretKey.Generate();

    public void Dispose()
    {
        _alice.Dispose();
        _data.Dispose();
    }

    [Fact]
    public async Task A_fresh_start_is_ready_names_every_part_and_ends_with_zero_on_sigterm()
    {
        await using var suite = await MarmotServerProcess.StartAsync("all", _data.Path);
        using var client = new HttpClient();
        using var ready = JsonDocument.Parse(await client.GetStringAsync(new Uri(suite.AdminUrl, "/readyz")));
        var parts = ready.RootElement.GetProperty("parts").EnumerateObject().Select(part => part.Name).ToList();
        Assert.Superset(new HashSet<string> { "storage", "relay", "blossom", "notify-inbox", "notify-providers" }, parts.ToHashSet());
        Assert.StartsWith("npub1", suite.NotifyKey, StringComparison.Ordinal);
        Assert.Contains("marmot_", await client.GetStringAsync(new Uri(suite.AdminUrl, "/metrics")), StringComparison.Ordinal);
        Assert.Equal(0, await suite.StopAsync());
    }

    [Fact]
    public async Task The_push_key_and_an_acknowledged_event_survive_kill_9()
    {
        var evt = NostrEvent.Create(_alice, 1, [["t", "kept"]], "hello", DateTimeOffset.UtcNow.ToUnixTimeSeconds());
        string pushKey;
        await using (var first = await MarmotServerProcess.StartAsync("all", _data.Path))
        {
            pushKey = first.NotifyKey;
            string answer = await RelayQuestions.AskAsync(first.RelayUrl, "[\"EVENT\"," + Encoding.UTF8.GetString(evt.Json.Span) + "]");
            Assert.Equal($"[\"OK\",\"{evt.Id}\",true,\"\"]", answer);
        } // disposing kills the process

        await using var second = await MarmotServerProcess.StartAsync("all", _data.Path);
        Assert.Equal(pushKey, second.NotifyKey);
        string found = await RelayQuestions.AskAsync(second.RelayUrl, $"[\"REQ\",\"q\",{{\"ids\":[\"{evt.Id}\"]}}]");
        Assert.Equal("[\"EVENT\",\"q\"," + Encoding.UTF8.GetString(evt.Json.Span) + "]", found);
    }

    [Fact]
    public async Task Nothing_of_the_admin_port_answers_on_the_public_one()
    {
        await using var suite = await MarmotServerProcess.StartAsync("all", _data.Path);
        using var client = new HttpClient();
        foreach (string path in new[] { "/healthz", "/readyz", "/metrics" })
        {
            using var response = await client.GetAsync(new Uri(suite.HttpUrl, path));
            Assert.Equal(HttpStatusCode.NotFound, response.StatusCode);
        }
    }
}
