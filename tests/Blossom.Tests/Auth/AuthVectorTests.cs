using System.Net;
using System.Text.Json;

namespace Marmot.Blossom.Tests.Auth;

/// <summary>Vectors/blossom-auth.json against a running server that is cdn.example.com at the time of the file.</summary>
[Trait("Spec", "BUD-11")]
public sealed class AuthVectorTests
{
    [Fact]
    [Trait("Clock", "Date")]
    public async Task Every_token_of_the_vectors_is_judged_as_they_say_in_both_alphabets()
    {
        using var vectors = JsonDocument.Parse(await File.ReadAllBytesAsync(Path.Combine(AppContext.BaseDirectory, "Vectors", "blossom-auth.json")));
        var root = vectors.RootElement;
        await using var server = await BlossomServer.StartInAsync(
            null, DateTimeOffset.FromUnixTimeSeconds(root.GetProperty("now").GetInt64()), "--Public:Origin=https://cdn.example.com",
            "--Blossom:Profile=General");
        var judged = 0;
        foreach (var vector in root.GetProperty("cases").EnumerateArray())
        {
            foreach (var form in (string[])["header_base64url_nopad", "header_base64_std"])
            {
                var action = vector.GetProperty("action").GetString()!;
                var hash = vector.TryGetProperty("sha256", out var text) ? text.GetString()! : "";
                var header = ("Authorization", vector.GetProperty(form).GetString()!);
                using var answer = action switch
                {
                    "upload" => await server.SendAsync(HttpMethod.Head, "/upload", header, ("X-SHA-256", hash), ("X-Content-Length", "10")),
                    "delete" => await server.SendAsync(HttpMethod.Delete, $"/{hash}", header),
                    "media" => await server.SendAsync(HttpMethod.Head, "/media", header, ("X-SHA-256", hash), ("X-Content-Length", "10")),
                    "get" => await server.SendAsync(HttpMethod.Get, $"/{hash}", header),
                    _ => await server.SendAsync(HttpMethod.Get, $"/list/{root.GetProperty("pubkey").GetString()}", header),
                };
                var expect = vector.GetProperty("expect");
                if (action == "media")
                {
                    Assert.Equal(HttpStatusCode.Forbidden, answer.StatusCode); // not offered, whatever the token says (BUD-05)
                    Assert.Contains("PUT /upload", answer.Header("X-Reason"), StringComparison.Ordinal);
                    judged++;
                    continue;
                }

                if (expect.ValueKind is JsonValueKind.True or JsonValueKind.False)
                {
                    Assert.True((answer.StatusCode != HttpStatusCode.Unauthorized) == expect.GetBoolean(),
                        $"{vector.GetProperty("name")}: {answer.StatusCode} {answer.Header("X-Reason")}");
                    judged++;
                }

                Assert.True((int)answer.StatusCode < 500);
            }
        }

        Assert.Equal(42, judged);
    }

    [Theory]
    [InlineData("Nostr")]
    [InlineData("Nostr ")]
    [InlineData("Nostr bnVsbA")] // null
    [InlineData("Nostr W10")] // []
    [InlineData("Nostr e30")] // {}
    [InlineData("Nostr eyJ0YWdzIjpbMV19")] // tags of numbers
    [InlineData("Nostr !!!!")]
    [InlineData("Bearer abc")]
    public async Task A_malformed_token_is_401_and_never_500(string header)
    {
        await using var server = await BlossomServer.StartAsync();
        using var answer = await server.SendAsync(HttpMethod.Put, "/upload", ("Authorization", header));
        Assert.Equal(HttpStatusCode.Unauthorized, answer.StatusCode);
        Assert.Equal("*", answer.Header("Access-Control-Allow-Origin"));
    }

    [Fact]
    public async Task A_deeply_nested_token_is_401()
    {
        await using var server = await BlossomServer.StartAsync();
        var nested = Convert.ToBase64String(System.Text.Encoding.ASCII.GetBytes(new string('[', 3000)));
        using var answer = await server.SendAsync(HttpMethod.Put, "/upload", ("Authorization", "Nostr " + nested));
        Assert.Equal(HttpStatusCode.Unauthorized, answer.StatusCode);
    }

    [Fact]
    public async Task Without_a_configured_origin_the_Host_header_does_not_make_another_servers_token_ours()
    {
        await using var server = await BlossomServer.StartAsync();
        using var key = Marmot.Protocol.Keys.SecretKey.Generate();
        var hash = BlossomServer.HashOf([1]);
        var header = Marmot.Protocol.Auth.BlossomAuth.CreateHeader(
            key, Marmot.Protocol.Auth.BlossomVerb.Upload, [hash], "other.example.com", server.Clock.GetUtcNow(), TimeSpan.FromMinutes(1));
        using var answer = await server.SendAsync(
            HttpMethod.Head, "/upload", ("Host", "other.example.com"), ("Authorization", header), ("X-SHA-256", hash.ToString()), ("X-Content-Length", "1"));
        Assert.Equal(HttpStatusCode.Unauthorized, answer.StatusCode);
    }
}
