using System.Net;
using System.Net.Http.Headers;
using System.Net.WebSockets;
using System.Text;
using System.Text.Json;
using Marmot.Protocol.Auth;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;
using Marmot.Relay.Tests.Kit;
using Marmot.TestKit;

namespace Marmot.Relay.Tests.Management;

/// <summary>NIP-86 over HTTP, authorised by NIP-98.</summary>
public sealed class ManagementTests : IDisposable
{
    private const long Now = 1_700_000_500;
    private readonly SecretKey _admin = SecretKey.Generate();
    private readonly SecretKey _user = SecretKey.Generate();
    private readonly TemporaryFolder _folder = new();
    private readonly HttpClient _http = new();

    public void Dispose()
    {
        _http.Dispose();
        _admin.Dispose();
        _user.Dispose();
        _folder.Dispose();
    }

    private Task<RelayHost> StartAsync(params string[] settings) =>
        RelayHost.StartAsync(Now, _folder.Path, ["--Relay:Admins:0=" + _admin.PublicKey, .. settings]);

    private async Task<(HttpStatusCode Status, JsonElement Answer)> SendAsync(RelayHost relay, string body, string? authorization)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, relay.Http) { Content = new StringContent(body, Encoding.UTF8) };
        request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/nostr+json+rpc");
        if (authorization is not null)
        {
            request.Headers.TryAddWithoutValidation("Authorization", authorization);
        }

        using var held = relay.HoldDate();
        using var response = await _http.SendAsync(request);
        return (response.StatusCode, JsonDocument.Parse(await response.Content.ReadAsStringAsync()).RootElement);
    }

    private async Task<JsonElement> CallAsync(RelayHost relay, string method, params object[] parameters)
    {
        var body = JsonSerializer.Serialize(new Dictionary<string, object> { ["method"] = method, ["params"] = parameters });
        var header = HttpAuth.CreateHeader(_admin, "POST", new Uri(RelayHost.Origin), Encoding.UTF8.GetBytes(body), relay.Clock.GetUtcNow());
        var (status, answer) = await SendAsync(relay, body, header);
        Assert.True(status == HttpStatusCode.OK, answer.ToString());
        return answer.GetProperty("result");
    }

    [Fact]
    [Trait("Spec", "NIP-86")]
    public async Task Wants_the_authorisation_of_an_administrator_for_this_very_call()
    {
        await using var relay = await StartAsync();
        const string body = "{\"method\":\"supportedmethods\",\"params\":[]}";
        string Header(SecretKey key, string url = RelayHost.Origin, string signed = body) =>
            HttpAuth.CreateHeader(key, "POST", new Uri(url), Encoding.UTF8.GetBytes(signed), relay.Clock.GetUtcNow());
        Assert.Equal(HttpStatusCode.Unauthorized, (await SendAsync(relay, body, null)).Status);
        Assert.Equal(HttpStatusCode.Unauthorized, (await SendAsync(relay, body, "Nostr nonsense")).Status);
        Assert.Equal(HttpStatusCode.Unauthorized, (await SendAsync(relay, body, Header(_admin, "wss://other.example.com/"))).Status);
        Assert.Equal(HttpStatusCode.Unauthorized, (await SendAsync(relay, body, Header(_admin, signed: "{}"))).Status);
        Assert.Equal(HttpStatusCode.Unauthorized, (await SendAsync(relay, body, Header(_admin, signed: ""))).Status); // no payload tag
        Assert.Equal(HttpStatusCode.Forbidden, (await SendAsync(relay, body, Header(_user))).Status);
        Assert.Equal(HttpStatusCode.OK, (await SendAsync(relay, body, Header(_admin))).Status);
        Assert.Equal(HttpStatusCode.OK, (await SendAsync(relay, body, Header(_admin, "https://relay.example.com/"))).Status);
        Assert.Equal(HttpStatusCode.BadRequest, (await SendAsync(relay, "[]", Header(_admin, signed: "[]"))).Status);
        Assert.Equal(HttpStatusCode.BadRequest, (await SendAsync(relay, "{", Header(_admin, signed: "{"))).Status);
    }

    [Fact]
    [Trait("Spec", "NIP-86")]
    public async Task Bans_remove_what_is_stored_and_hold_over_a_restart()
    {
        NostrEvent evt, other;
        await using (var relay = await StartAsync())
        {
            await using var client = await relay.ConnectAsync();
            evt = NostrEvent.Create(_user, 1, [], "a", Now);
            other = NostrEvent.Create(_admin, 1, [], "b", Now);
            await client.PublishAllAsync([evt, other]);
            Assert.True((await CallAsync(relay, "banpubkey", _user.PublicKey.ToString(), "spam")).GetBoolean());
            Assert.True((await CallAsync(relay, "banevent", other.Id.ToString())).GetBoolean());
            Assert.Empty(await client.QueryAsync("{}"));
        }

        await using var again = await StartAsync();
        await using var reader = await again.ConnectAsync();
        Assert.StartsWith("blocked: ", (await reader.PublishAsync(evt)).Text, StringComparison.Ordinal);
        Assert.StartsWith("blocked: ", (await reader.PublishAsync(other)).Text, StringComparison.Ordinal);
        var banned = Assert.Single((await CallAsync(again, "listbannedpubkeys")).EnumerateArray());
        Assert.Equal((_user.PublicKey.ToString(), "spam"), (banned.GetProperty("pubkey").GetString(), banned.GetProperty("reason").GetString()));
        Assert.Equal(other.Id.ToString(), Assert.Single((await CallAsync(again, "listbannedevents")).EnumerateArray()).GetProperty("id").GetString());
        await CallAsync(again, "unbanpubkey", _user.PublicKey.ToString());
        await CallAsync(again, "allowevent", other.Id.ToString());
        Assert.True((await reader.PublishAsync(evt)).Accepted);
        Assert.True((await reader.PublishAsync(other)).Accepted);
    }

    [Fact]
    [Trait("Spec", "NIP-86")]
    public async Task Changes_kinds_and_keys_that_are_taken()
    {
        await using var relay = await StartAsync("--Relay:Kinds=Marmot", "--Relay:WriteAllowList:0=" + _admin.PublicKey);
        await using var client = await relay.ConnectAsync();
        Assert.True((await client.AuthenticateAsync(_user, relay.Clock.GetUtcNow())).Accepted);
        Assert.StartsWith("restricted: ", (await client.PublishAsync(NostrEvent.Create(_user, 0, [], "{}", Now))).Text, StringComparison.Ordinal);
        await CallAsync(relay, "allowpubkey", _user.PublicKey.ToString(), "friend");
        Assert.Equal(_user.PublicKey.ToString(), Assert.Single((await CallAsync(relay, "listallowedpubkeys")).EnumerateArray())
            .GetProperty("pubkey").GetString());
        Assert.True((await client.PublishAsync(NostrEvent.Create(_user, 0, [], "{}", Now))).Accepted);

        Assert.StartsWith("blocked: ", (await client.PublishAsync(NostrEvent.Create(_user, 1, [], "x", Now))).Text, StringComparison.Ordinal);
        await CallAsync(relay, "allowkind", 1);
        await CallAsync(relay, "disallowkind", 3);
        Assert.True((await client.PublishAsync(NostrEvent.Create(_user, 1, [], "x", Now))).Accepted);
        Assert.StartsWith("blocked: ", (await client.PublishAsync(NostrEvent.Create(_user, 3, [], "", Now))).Text, StringComparison.Ordinal);
        var kinds = (await CallAsync(relay, "listallowedkinds")).EnumerateArray().Select(k => k.GetInt32()).ToList();
        Assert.Contains(1, kinds);
        Assert.DoesNotContain(3, kinds);
        await CallAsync(relay, "unallowpubkey", _user.PublicKey.ToString());
        Assert.StartsWith("restricted: ", (await client.PublishAsync(NostrEvent.Create(_user, 1, [], "y", Now))).Text, StringComparison.Ordinal);
    }

    [Fact]
    [Trait("Spec", "NIP-86")]
    public async Task Blocks_addresses_and_renames_the_relay()
    {
        await using var relay = await StartAsync();
        await CallAsync(relay, "changerelayname", "The Burrow");
        await CallAsync(relay, "changerelaydescription", "Underground.");
        await CallAsync(relay, "changerelayicon", "https://example.com/icon.png");
        using var request = new HttpRequestMessage(HttpMethod.Get, relay.Http);
        request.Headers.Accept.Add(new MediaTypeWithQualityHeaderValue("application/nostr+json"));
        using var response = await _http.SendAsync(request);
        var document = JsonDocument.Parse(await response.Content.ReadAsStringAsync()).RootElement;
        Assert.Equal(("The Burrow", "Underground.", "https://example.com/icon.png"),
            (document.GetProperty("name").GetString(), document.GetProperty("description").GetString(), document.GetProperty("icon").GetString()));
        Assert.Contains(document.GetProperty("supported_nips").EnumerateArray(), n => n.GetInt32() == 86);

        await using var client = await relay.ConnectAsync();
        await CallAsync(relay, "blockip", "127.0.0.1", "noisy");
        await Assert.ThrowsAnyAsync<Exception>(client.ReceiveAsync); // the open connection ends
        await Assert.ThrowsAnyAsync<WebSocketException>(relay.ConnectAsync);
        Assert.Equal("127.0.0.1", Assert.Single((await CallAsync(relay, "listblockedips")).EnumerateArray()).GetProperty("ip").GetString());
        await CallAsync(relay, "unblockip", "127.0.0.1");
        await using var free = await relay.ConnectAsync();
    }

    [Theory]
    [Trait("Spec", "NIP-86")]
    [InlineData("nonsense", "[]")]
    [InlineData("banpubkey", "[]")]
    [InlineData("banpubkey", "[\"npub1\"]")]
    [InlineData("banevent", "[7]")]
    [InlineData("allowkind", "[\"1\"]")]
    [InlineData("allowkind", "[70000]")]
    [InlineData("allowkind", "[444]")]
    [InlineData("blockip", "[\"example.com\"]")]
    [InlineData("changerelayname", "[null]")]
    [InlineData("changerelayname", "[\"\\ud800\"]")]
    [InlineData("\\ud800", "[]")]
    public async Task Says_what_is_wrong_with_a_call(string method, string parameters)
    {
        await using var relay = await StartAsync();
        var body = $"{{\"method\":\"{method}\",\"params\":{parameters}}}";
        var header = HttpAuth.CreateHeader(_admin, "POST", new Uri(RelayHost.Origin), Encoding.UTF8.GetBytes(body), relay.Clock.GetUtcNow());
        var (status, answer) = await SendAsync(relay, body, header);
        Assert.Equal(HttpStatusCode.BadRequest, status);
        Assert.NotEmpty(answer.GetProperty("error").GetString()!);
    }
}
