using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Marmot.Protocol.Auth;
using Marmot.Protocol.Keys;
using Marmot.TestKit;

namespace Marmot.Blossom.Tests.Endpoints;

[Trait("Spec", "BUD-02")]
public sealed class UploadTests
{
    [Fact]
    [Trait("Clock", "Date")]
    public async Task A_new_blob_is_201_with_a_descriptor_and_reads_back_byte_for_byte()
    {
        await using var server = await BlossomServer.StartAsync();
        using var key = SecretKey.Generate();
        var blob = BlossomServer.RandomBlob(300_000);
        var hash = BlossomServer.HashOf(blob);

        using var answer = await server.UploadAsync(key, blob);

        Assert.Equal(HttpStatusCode.Created, answer.StatusCode);
        using var descriptor = JsonDocument.Parse(await answer.Content.ReadAsStringAsync());
        Assert.Equal($"{server.Address.GetLeftPart(UriPartial.Authority)}/{hash}.bin", descriptor.RootElement.GetProperty("url").GetString());
        Assert.Equal(hash.ToString(), descriptor.RootElement.GetProperty("sha256").GetString());
        Assert.Equal(300_000, descriptor.RootElement.GetProperty("size").GetInt64());
        Assert.Equal("application/octet-stream", descriptor.RootElement.GetProperty("type").GetString());
        Assert.Equal(server.Clock.GetUtcNow().ToUnixTimeSeconds(), descriptor.RootElement.GetProperty("uploaded").GetInt64());
        Assert.Equal(blob, await server.Http.GetByteArrayAsync($"/{hash}"));
        Assert.Equal(blob, await server.Http.GetByteArrayAsync($"/{hash}.png?xs=example.org"));
    }

    [Fact]
    public async Task A_blob_that_is_there_is_200_also_for_another_key()
    {
        await using var server = await BlossomServer.StartAsync();
        using var first = SecretKey.Generate();
        using var second = SecretKey.Generate();
        var blob = BlossomServer.RandomBlob(1000);
        using var one = await server.UploadAsync(first, blob);
        using var two = await server.UploadAsync(first, blob);
        using var three = await server.UploadAsync(second, blob);
        Assert.Equal([HttpStatusCode.Created, HttpStatusCode.OK, HttpStatusCode.OK], [one.StatusCode, two.StatusCode, three.StatusCode]);
        Assert.Single(server.BlobFiles());
    }

    [Fact]
    public async Task An_empty_blob_is_a_blob()
    {
        await using var server = await BlossomServer.StartAsync();
        using var key = SecretKey.Generate();
        using var answer = await server.UploadAsync(key, []);
        Assert.Equal(HttpStatusCode.Created, answer.StatusCode);
        Assert.Empty(await server.Http.GetByteArrayAsync($"/{BlossomServer.HashOf([])}"));
    }

    [Fact]
    public async Task A_body_without_a_length_is_taken()
    {
        await using var server = await BlossomServer.StartAsync();
        using var key = SecretKey.Generate();
        var blob = BlossomServer.RandomBlob(200_000);
        using var request = new HttpRequestMessage(HttpMethod.Put, "/upload") { Content = new StreamContent(new MemoryStream(blob)) };
        request.Headers.TransferEncodingChunked = true;
        request.Headers.TryAddWithoutValidation("Authorization", server.Token(key, BlossomVerb.Upload, BlossomServer.HashOf(blob)));
        using var answer = await server.Http.SendAsync(request);
        Assert.Equal(HttpStatusCode.Created, answer.StatusCode);
    }

    [Fact]
    public async Task A_body_that_is_not_the_announced_one_is_409_and_leaves_nothing()
    {
        await using var server = await BlossomServer.StartAsync();
        using var key = SecretKey.Generate();
        var said = BlossomServer.HashOf([1]);
        using var request = new HttpRequestMessage(HttpMethod.Put, "/upload") { Content = new ByteArrayContent([2]) };
        request.Headers.TryAddWithoutValidation("Authorization", server.Token(key, BlossomVerb.Upload, said, BlossomServer.HashOf([2])));
        request.Headers.TryAddWithoutValidation("X-SHA-256", said.ToString());
        using var answer = await server.Http.SendAsync(request);
        Assert.Equal(HttpStatusCode.Conflict, answer.StatusCode);
        Assert.Empty(server.BlobFiles());
    }

    [Fact]
    public async Task A_body_no_x_tag_names_is_401_and_leaves_nothing()
    {
        await using var server = await BlossomServer.StartAsync();
        using var key = SecretKey.Generate();
        using var request = new HttpRequestMessage(HttpMethod.Put, "/upload") { Content = new ByteArrayContent([2]) };
        request.Headers.TryAddWithoutValidation("Authorization", server.Token(key, BlossomVerb.Upload, BlossomServer.HashOf([1])));
        using var answer = await server.Http.SendAsync(request);
        Assert.Equal(HttpStatusCode.Unauthorized, answer.StatusCode);
        Assert.Empty(server.BlobFiles());
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Too_large_is_413_and_leaves_nothing(bool chunked)
    {
        await using var server = await BlossomServer.StartAsync("--Blossom:MaxUploadBytes=100000");
        using var key = SecretKey.Generate();
        var blob = BlossomServer.RandomBlob(100_001);
        using var request = new HttpRequestMessage(HttpMethod.Put, "/upload") { Content = new ByteArrayContent(blob) };
        request.Headers.TransferEncodingChunked = chunked;
        request.Headers.TryAddWithoutValidation("Authorization", server.Token(key, BlossomVerb.Upload, BlossomServer.HashOf(blob)));
        using var answer = await server.Http.SendAsync(request);
        Assert.Equal(HttpStatusCode.RequestEntityTooLarge, answer.StatusCode);
        Assert.Empty(server.BlobFiles());
    }

    [Fact]
    public async Task A_truncated_body_is_400_and_leaves_nothing_even_when_the_token_names_the_half()
    {
        using var folder = new TemporaryFolder();
        using var key = SecretKey.Generate();
        var half = BlossomServer.RandomBlob(1000);
        await using (var server = await BlossomServer.StartInAsync(folder.Path, null))
        {
            using var client = new TcpClient();
            await client.ConnectAsync(server.Address.Host, server.Address.Port);
            var stream = client.GetStream();
            await stream.WriteAsync(Encoding.ASCII.GetBytes(
                $"PUT /upload HTTP/1.1\r\nHost: x\r\nContent-Length: "
                    + $"2000\r\nAuthorization: {server.Token(key, BlossomVerb.Upload, BlossomServer.HashOf(half))}\r\n\r\n"));
            await stream.WriteAsync(half);
            client.Client.Shutdown(SocketShutdown.Send);
            using var reader = new StreamReader(stream);
            try
            {
                Assert.DoesNotContain(" 201 ", await reader.ReadToEndAsync(), StringComparison.Ordinal);
            }
            catch (IOException)
            {
                // a reset instead of a 400 is an answer too
            }

            Assert.Equal(HttpStatusCode.NotFound, (await server.SendAsync(HttpMethod.Head, $"/{BlossomServer.HashOf(half)}")).StatusCode);
        }

        // The answer may be out before the request has ended; when the server has stopped, it has.
        Assert.Empty(BlossomServer.BlobFiles(folder.Path));
    }

    [Theory]
    [InlineData("x")]
    [InlineData("ABCDEF0000000000000000000000000000000000000000000000000000000000")]
    public async Task A_malformed_announced_hash_is_400(string header)
    {
        await using var server = await BlossomServer.StartAsync();
        using var key = SecretKey.Generate();
        using var answer = await server.UploadAsync(key, [1], headers: ("X-SHA-256", header));
        Assert.Equal(HttpStatusCode.BadRequest, answer.StatusCode);
    }

    [Fact]
    public async Task Two_dozen_uploads_of_one_blob_at_once_give_one_201_and_one_file()
    {
        await using var server = await BlossomServer.StartAsync();
        using var key = SecretKey.Generate();
        var blob = BlossomServer.RandomBlob(100_000);
        var answers = await Task.WhenAll(Enumerable.Range(0, 24).Select(_ => server.UploadAsync(key, blob)));
        Assert.Equal(1, answers.Count(answer => answer.StatusCode == HttpStatusCode.Created));
        Assert.Equal(23, answers.Count(answer => answer.StatusCode == HttpStatusCode.OK));
        Assert.Single(server.BlobFiles());
        Assert.Equal(blob, await server.Http.GetByteArrayAsync($"/{BlossomServer.HashOf(blob)}"));
    }

    [Fact]
    public async Task The_private_profile_keeps_no_type_and_the_general_one_does()
    {
        using var key = SecretKey.Generate();
        await using var closed = await BlossomServer.StartAsync();
        await using var general = await BlossomServer.StartAsync("--Blossom:Profile=General");
        foreach (var (server, type, extension) in new[] { (closed, "application/octet-stream", ".bin"), (general, "image/png", ".png") })
        {
            using var answer = await server.UploadAsync(key, [1, 2, 3], "image/png");
            using var descriptor = JsonDocument.Parse(await answer.Content.ReadAsStringAsync());
            Assert.Equal(type, descriptor.RootElement.GetProperty("type").GetString());
            Assert.EndsWith(extension, descriptor.RootElement.GetProperty("url").GetString(), StringComparison.Ordinal);
            using var blob = await server.Http.GetAsync($"/{BlossomServer.HashOf([1, 2, 3])}");
            Assert.Equal(type, blob.Content.Headers.ContentType!.ToString());
        }
    }

    [Fact]
    public async Task A_type_that_is_not_allowed_is_415_but_octet_stream_always_passes()
    {
        await using var server = await BlossomServer.StartAsync("--Blossom:AllowedTypes:0=image/*");
        using var key = SecretKey.Generate();
        Assert.Equal(HttpStatusCode.UnsupportedMediaType, (await server.UploadAsync(key, [1], "text/html")).StatusCode);
        Assert.Equal(HttpStatusCode.Created, (await server.UploadAsync(key, [2], "image/webp")).StatusCode);
        Assert.Equal(HttpStatusCode.Created, (await server.UploadAsync(key, [3])).StatusCode);
    }

    [Fact]
    [Trait("Spec", "BUD-06")]
    public async Task The_preflight_says_what_the_upload_would()
    {
        await using var server = await BlossomServer.StartAsync("--Blossom:MaxUploadBytes=1000");
        using var key = SecretKey.Generate();
        var hash = BlossomServer.HashOf([1]);
        var token = ("Authorization", server.Token(key, BlossomVerb.Upload, hash));
        var sha = ("X-SHA-256", hash.ToString());
        async Task<HttpStatusCode> Ask(params (string, string)[] headers) => (await server.SendAsync(HttpMethod.Head, "/upload", headers)).StatusCode;
        Assert.Equal(HttpStatusCode.Unauthorized, await Ask());
        Assert.Equal(HttpStatusCode.Unauthorized, await Ask(("X-SHA-256", "nonsense")));
        Assert.Equal(HttpStatusCode.OK, await Ask(token, sha, ("X-Content-Length", "1000")));
        Assert.Equal(HttpStatusCode.LengthRequired, await Ask(token, sha));
        Assert.Equal(HttpStatusCode.BadRequest, await Ask(token, sha, ("X-Content-Length", "many")));
        Assert.Equal(HttpStatusCode.BadRequest, await Ask(token, ("X-Content-Length", "5")));
        Assert.Equal(HttpStatusCode.RequestEntityTooLarge, await Ask(token, sha, ("X-Content-Length", "1001")));
    }

    [Fact]
    public async Task Every_refusal_carries_a_printable_reason_that_repeats_nothing_of_the_request()
    {
        await using var server = await BlossomServer.StartAsync();
        using var answer = await server.SendAsync(HttpMethod.Put, "/upload", ("Authorization", "Nostr hello-there"));
        Assert.Equal(HttpStatusCode.Unauthorized, answer.StatusCode);
        var reason = answer.Header("X-Reason")!;
        Assert.InRange(reason.Length, 1, 256);
        Assert.DoesNotContain("hello", reason, StringComparison.Ordinal);
        Assert.All(reason, letter => Assert.InRange(letter, ' ', '~'));
    }
}
