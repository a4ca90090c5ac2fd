using System.Net;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Keys;

namespace Marmot.Blossom.Tests.Endpoints;

[Trait("Spec", "BUD-01")]
public sealed class BlobTests : IAsyncLifetime
{
    private readonly byte[] _blob = BlossomServer.RandomBlob(200_000);
    private BlossomServer _server = null!;
    private string _path = "";

    public async Task InitializeAsync()
    {
        _server = await BlossomServer.StartAsync();
        using var key = SecretKey.Generate();
        using var answer = await _server.UploadAsync(key, _blob);
        _path = "/" + BlossomServer.HashOf(_blob);
    }

    public async Task DisposeAsync() => await _server.DisposeAsync();

    [Fact]
    [Trait("Clock", "Date")]
    public async Task HEAD_answers_as_GET_without_the_body()
    {
        using var get = await _server.Http.GetAsync(_path);
        using var head = await _server.SendAsync(HttpMethod.Head, _path);
        Assert.Equal(HttpStatusCode.OK, head.StatusCode);
        foreach (var name in (string[])["Content-Length", "Content-Type", "ETag", "Accept-Ranges", "Cache-Control", "Sunset", "Access-Control-Allow-Origin"])
        {
            Assert.NotNull(get.Header(name));
            Assert.Equal(get.Header(name), head.Header(name));
        }

        Assert.Empty(await head.Content.ReadAsByteArrayAsync());
    }

    [Fact]
    [Trait("Spec", "BUD-10")]
    public async Task Hints_of_a_blossom_URI_are_ignored() =>
        Assert.Equal(_blob, await _server.Http.GetByteArrayAsync($"{_path}.bin?xs=cdn.example.com&as={new string('a', 64)}&sz=5"));

    [Fact]
    public async Task A_blob_runs_nothing_in_a_browser_and_may_be_read_from_any_page()
    {
        using var answer = await _server.Http.GetAsync(_path);
        Assert.Equal("nosniff", answer.Header("X-Content-Type-Options"));
        Assert.Equal("sandbox; default-src 'none'", answer.Header("Content-Security-Policy"));
        Assert.Equal("attachment", answer.Header("Content-Disposition"));
        Assert.Equal("*", answer.Header("Access-Control-Allow-Origin"));
        Assert.Contains("X-Reason", answer.Header("Access-Control-Expose-Headers"), StringComparison.Ordinal);
        Assert.Null(answer.Header("Server"));
    }

    [Theory]
    [InlineData("bytes=0-0", 0, 1)]
    [InlineData("bytes=100-199", 100, 100)]
    [InlineData("bytes=199999-", 199_999, 1)]
    [InlineData("bytes=199990-99999999999999999999999", 199_990, 10)]
    [InlineData("bytes=-5", 199_995, 5)]
    [InlineData("bytes=-300000", 0, 200_000)]
    [InlineData("bytes=5-9,8-14", 5, 10)]
    public async Task A_range_gives_its_bytes(string range, int offset, int length)
    {
        using var answer = await _server.SendAsync(HttpMethod.Get, _path, ("Range", range));
        Assert.Equal(HttpStatusCode.PartialContent, answer.StatusCode);
        Assert.Equal($"bytes {offset}-{offset + length - 1}/200000", answer.Header("Content-Range"));
        Assert.Equal(_blob.AsSpan(offset, length).ToArray(), await answer.Content.ReadAsByteArrayAsync());
    }

    [Fact]
    public async Task Several_ranges_come_as_parts()
    {
        using var answer = await _server.SendAsync(HttpMethod.Get, _path, ("Range", "bytes=10-19, 0-4"));
        Assert.Equal(HttpStatusCode.PartialContent, answer.StatusCode);
        Assert.StartsWith("multipart/byteranges; boundary=", answer.Header("Content-Type"), StringComparison.Ordinal);
        var body = await answer.Content.ReadAsByteArrayAsync();
        var text = System.Text.Encoding.Latin1.GetString(body);
        foreach (var (head, part) in new[] { ("Content-Range: bytes 0-4/200000\r\n\r\n", _blob[..5]),
            ("Content-Range: bytes 10-19/200000\r\n\r\n", _blob[10..20]) })
        {
            var at = text.IndexOf(head, StringComparison.Ordinal);
            Assert.True(at > 0);
            Assert.Equal(part, body.AsSpan(at + head.Length, part.Length).ToArray());
        }
    }

    [Fact]
    public async Task Hundreds_of_overlapping_ranges_send_no_more_than_the_blob()
    {
        using var answer = await _server.SendAsync(HttpMethod.Get, _path, ("Range", "bytes=" + string.Join(',', Enumerable.Repeat("0-", 300))));
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        Assert.Equal(_blob.Length, (await answer.Content.ReadAsByteArrayAsync()).Length);
    }

    [Theory]
    [InlineData("bytes=200000-")]
    [InlineData("bytes=-0")]
    public async Task A_range_past_the_end_is_416_with_the_size(string range)
    {
        using var answer = await _server.SendAsync(HttpMethod.Get, _path, ("Range", range));
        Assert.Equal(HttpStatusCode.RequestedRangeNotSatisfiable, answer.StatusCode);
        Assert.Equal("bytes */200000", answer.Header("Content-Range"));
        Assert.Equal("*", answer.Header("Access-Control-Allow-Origin"));
    }

    [Theory]
    [InlineData("lines=1-2")]
    [InlineData("bytes=")]
    [InlineData("bytes=9-1")]
    [InlineData("bytes=a-b")]
    public async Task A_range_that_makes_no_sense_is_ignored(string range)
    {
        using var answer = await _server.SendAsync(HttpMethod.Get, _path, ("Range", range));
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
    }

    [Fact]
    public async Task Validators_work_on_the_hash()
    {
        var etag = $"\"{_path[1..]}\"";
        Assert.Equal(HttpStatusCode.NotModified, (await _server.SendAsync(HttpMethod.Get, _path, ("If-None-Match", $"\"x\", W/{etag}"))).StatusCode);
        Assert.Equal(HttpStatusCode.OK, (await _server.SendAsync(HttpMethod.Get, _path, ("If-None-Match", "\"x\""))).StatusCode);
        Assert.Equal(HttpStatusCode.PartialContent, (await _server.SendAsync(HttpMethod.Get, _path, ("Range", "bytes=0-1"), ("If-Range", etag))).StatusCode);
        Assert.Equal(HttpStatusCode.OK, (await _server.SendAsync(HttpMethod.Get, _path, ("Range", "bytes=0-1"), ("If-Range", "\"x\""))).StatusCode);
    }

    [Theory]
    [InlineData("/0000000000000000000000000000000000000000000000000000000000000000", HttpStatusCode.NotFound)]
    [InlineData("/000000000000000000000000000000000000000000000000000000000000000", HttpStatusCode.BadRequest)]
    [InlineData("/ABCDEF0000000000000000000000000000000000000000000000000000000000", HttpStatusCode.BadRequest)]
    [InlineData("/0000000000000000000000000000000000000000000000000000000000000000.", HttpStatusCode.BadRequest)]
    [InlineData("/0000000000000000000000000000000000000000000000000000000000000000.b%2F..%2Fx", HttpStatusCode.BadRequest)]
    public async Task A_name_that_is_no_blob_is_refused_with_CORS(string path, HttpStatusCode status)
    {
        using var answer = await _server.Http.GetAsync(path);
        Assert.Equal(status, answer.StatusCode);
        Assert.Equal("*", answer.Header("Access-Control-Allow-Origin"));
        Assert.NotNull(answer.Header("X-Reason"));
    }

    [Theory]
    [InlineData("/upload")]
    [InlineData("/mirror")]
    [InlineData("/media")]
    [InlineData("/report")]
    [InlineData("/list/00")]
    [InlineData("/0000000000000000000000000000000000000000000000000000000000000000.bin")]
    public async Task A_browser_may_ask_first_on_every_path(string path)
    {
        using var answer = await _server.SendAsync(HttpMethod.Options, path);
        Assert.Equal(HttpStatusCode.NoContent, answer.StatusCode);
        Assert.Equal("*", answer.Header("Access-Control-Allow-Origin"));
        Assert.Equal("Authorization, *", answer.Header("Access-Control-Allow-Headers"));
        foreach (var method in (string[])["GET", "HEAD", "PUT", "DELETE"])
        {
            Assert.Contains(method, answer.Header("Access-Control-Allow-Methods"), StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Questions_for_blobs_that_are_not_there_are_counted()
    {
        await using var server = await BlossomServer.StartAsync("--Blossom:LimitLoopback=true", "--Blossom:MissesPerMinute=3");
        var path = "/" + new Bytes32(new byte[32]);
        for (var i = 0; i < 3; i++)
        {
            Assert.Equal(HttpStatusCode.NotFound, (await server.SendAsync(HttpMethod.Head, path)).StatusCode);
        }

        using var answer = await server.SendAsync(HttpMethod.Head, path);
        Assert.Equal(HttpStatusCode.TooManyRequests, answer.StatusCode);
        Assert.NotNull(answer.Header("Retry-After"));
    }

    [Fact]
    [Trait("Spec", "BUD-05")]
    public async Task Media_is_refused_with_a_word_on_what_to_do()
    {
        using var answer = await _server.SendAsync(HttpMethod.Put, "/media");
        Assert.Equal(HttpStatusCode.Forbidden, answer.StatusCode);
        Assert.Contains("PUT /upload", answer.Header("X-Reason"), StringComparison.Ordinal);
    }
}
