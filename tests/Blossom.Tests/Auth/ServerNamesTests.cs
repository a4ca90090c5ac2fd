using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Marmot.Protocol.Auth;
using Marmot.Protocol.Keys;

namespace Marmot.Blossom.Tests.Auth;

public sealed class ServerNamesTests
{
    /// <summary>What is no host name, wherever one is read.</summary>
    public static TheoryData<string> BadHosts => ["xn--ü", "a..b", "foo:99999", "foo:-1", ".", "a b", "[::1", "%", "ü..ü", "-a", "xn--" + new string('a', 300)];

    [Theory]
    [MemberData(nameof(BadHosts))]
    [Trait("Spec", "BUD-11")]
    public async Task A_server_tag_that_is_no_host_is_refused_and_never_a_fault_of_the_server(string host)
    {
        await using var plain = await BlossomServer.StartAsync();
        await using var named = await BlossomServer.StartAsync("--Public:Origin=https://media.example.com");
        using var key = SecretKey.Generate();
        foreach (var server in (BlossomServer[])[plain, named])
        {
            foreach (var text in (string[])[host, $"https://{host}/"])
            {
                using var answer = await AskAsync(server, key, text, null);
                Assert.Equal(HttpStatusCode.Unauthorized, answer.StatusCode);
            }
        }
    }

    [Theory]
    [MemberData(nameof(BadHosts))]
    [Trait("Spec", "BUD-04")]
    public async Task A_mirror_url_whose_host_is_none_is_400(string host)
    {
        await using var server = await BlossomServer.StartAsync("--Blossom:Profile=General", "--Blossom:MirrorPrivateAddresses=true");
        using var key = SecretKey.Generate();
        using var request = new HttpRequestMessage(HttpMethod.Put, "/mirror")
        {
            Content = JsonContent.Create(new { url = $"http://{host}/{new string('a', 64)}" }),
        };
        request.Headers.TryAddWithoutValidation("Authorization", server.Token(key, BlossomVerb.Upload, BlossomServer.HashOf([1])));
        using var answer = await server.Http.SendAsync(request);
        Assert.Equal(HttpStatusCode.BadRequest, answer.StatusCode);
    }

    [Theory]
    [InlineData("xn--zzzzzz99999")]
    [InlineData("a..b")]
    [InlineData("foo:99999")]
    public async Task A_Host_header_that_is_no_host_is_answered_without_a_fault(string host)
    {
        await using var server = await BlossomServer.StartAsync();
        using var key = SecretKey.Generate();
        using var answer = await AskAsync(server, key, "localhost", host);
        Assert.InRange((int)answer.StatusCode, 400, 499);
    }

    [Theory]
    [InlineData(null, "localhost", HttpStatusCode.OK)]
    [InlineData("localhost:8080", "localhost", HttpStatusCode.OK)]
    [InlineData("127.0.0.1", "http://127.0.0.1:80/", HttpStatusCode.OK)]
    [InlineData("[::1]:80", "::1", HttpStatusCode.OK)]
    [InlineData("media.example.com", "media.example.com", HttpStatusCode.Unauthorized)]
    [InlineData("192.168.1.7", "192.168.1.7", HttpStatusCode.Unauthorized)]
    [InlineData("localhost.example.com", "localhost.example.com", HttpStatusCode.Unauthorized)]
    [Trait("Spec", "BUD-11")]
    [Trait("Clock", "Date")]
    public async Task Without_a_configured_origin_only_loopback_names_count_and_the_reason_names_the_setting(string? host, string tag, HttpStatusCode status)
    {
        await using var server = await BlossomServer.StartAsync();
        using var key = SecretKey.Generate();
        using var answer = await AskAsync(server, key, tag, host ?? $"localhost:{server.Address.Port}");
        Assert.Equal(status, answer.StatusCode);
        if (status == HttpStatusCode.Unauthorized)
        {
            Assert.Contains("Public:Origin", answer.Header("X-Reason"), StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("https", null, "https://media.example.com")]
    [InlineData("https", "other.example.com:8443", "https://other.example.com:8443")]
    [InlineData("http, https", null, "https://media.example.com")]
    [InlineData("gopher", null, "http://media.example.com")]
    [InlineData("https", "a..b", "http://media.example.com")]
    [Trait("Spec", "BUD-02")]
    public async Task Without_a_configured_origin_a_trusted_proxy_says_which_url_a_blob_has(string scheme, string? host, string origin)
    {
        await using var server = await BlossomServer.StartAsync(); // loopback is trusted
        using var key = SecretKey.Generate();
        List<(string, string)> headers = [("Host", "media.example.com"), ("X-Forwarded-Proto", scheme)];
        if (host is not null)
        {
            headers.Add(("X-Forwarded-Host", host));
        }

        using var answer = await server.UploadAsync(key, [1, 2, 3], headers: [.. headers]);
        using var descriptor = JsonDocument.Parse(await answer.Content.ReadAsStringAsync());
        Assert.Equal($"{origin}/{BlossomServer.HashOf([1, 2, 3])}.bin", descriptor.RootElement.GetProperty("url").GetString());
    }

    [Fact]
    public async Task The_configured_origin_comes_before_what_a_proxy_says()
    {
        await using var server = await BlossomServer.StartAsync("--Public:Origin=wss://media.example.com");
        using var key = SecretKey.Generate();
        using var answer = await server.UploadAsync(key, [1], headers: [("X-Forwarded-Proto", "http"), ("X-Forwarded-Host", "evil.example.org")]);
        Assert.Contains("\"https://media.example.com/", await answer.Content.ReadAsStringAsync(), StringComparison.Ordinal);
    }

    private static async Task<HttpResponseMessage> AskAsync(BlossomServer server, SecretKey key, string serverTag, string? host)
    {
        var hash = BlossomServer.HashOf([1]);
        var header = BlossomAuth.CreateHeader(key, BlossomVerb.Upload, [hash], serverTag, server.Clock.GetUtcNow(), TimeSpan.FromMinutes(1));
        List<(string, string)> headers = [("Authorization", header), ("X-SHA-256", hash.ToString()), ("X-Content-Length", "1")];
        if (host is not null)
        {
            headers.Add(("Host", host));
        }

        return await server.SendAsync(HttpMethod.Head, "/upload", [.. headers]);
    }
}
