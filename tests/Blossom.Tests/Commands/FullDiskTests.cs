using System.Net;
using Marmot.Protocol.Auth;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Keys;
using Marmot.TestKit;

namespace Marmot.Blossom.Tests.Commands;

public sealed class FullDiskTests
{
    private const int VolumeBytes = 16 * 1024 * 1024;
    private const int BlobBytes = 1024 * 1024;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    /// <param name="chunked">Without a declared length the server learns of the end of space only while it writes.</param>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task On_a_full_disk_uploads_are_507_with_a_reason_reads_go_on_and_a_deletion_makes_room(bool chunked)
    {
        using var folder = new TemporaryFolder();
        using var key = SecretKey.Generate();
        using var server = await BlossomProcess.StartOnSmallVolumeAsync(folder.Path, VolumeBytes);
        using var http = new HttpClient { BaseAddress = server.Address };

        // 1. until it is full
        var kept = new List<Bytes32>();
        HttpResponseMessage answer;
        while ((answer = await UploadAsync(http, key, BlossomServer.RandomBlob(BlobBytes), chunked)).StatusCode == HttpStatusCode.Created)
        {
            kept.Add(await HashOfAsync(answer));
            answer.Dispose();
            Assert.True(kept.Count <= VolumeBytes / BlobBytes);
        }

        using (answer)
        {
            Assert.Equal(HttpStatusCode.InsufficientStorage, answer.StatusCode);
            Assert.Equal("no space left; try another server", answer.Header("X-Reason"));
            Assert.NotNull(answer.Header("Retry-After"));
        }

        // 2. nothing that was refused takes space, and what is there is served
        Assert.True(kept.Count >= 10);
        for (var i = 0; i < 5; i++)
        {
            Assert.Equal(HttpStatusCode.InsufficientStorage, (await UploadAsync(http, key, BlossomServer.RandomBlob(BlobBytes), chunked)).StatusCode);
        }

        foreach (var hash in kept)
        {
            Assert.Equal(hash, BlossomServer.HashOf(await http.GetByteArrayAsync($"/{hash}")));
        }

        // 3. room again
        using var delete = new HttpRequestMessage(HttpMethod.Delete, $"/{kept[0]}");
        delete.Headers.TryAddWithoutValidation("Authorization", Token(key, BlossomVerb.Delete, kept[0]));
        Assert.Equal(HttpStatusCode.NoContent, (await http.SendAsync(delete)).StatusCode);
        var late = BlossomServer.RandomBlob(BlobBytes);
        using var deadline = new CancellationTokenSource(Patience);
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(100));
        while ((await UploadAsync(http, key, late, chunked)).StatusCode != HttpStatusCode.Created) // free space is asked for once a second
        {
            await timer.WaitForNextTickAsync(deadline.Token);
        }

        Assert.Equal(late, await http.GetByteArrayAsync($"/{BlossomServer.HashOf(late)}"));
    }

    private static async Task<HttpResponseMessage> UploadAsync(HttpClient http, SecretKey key, byte[] blob, bool chunked)
    {
        using var request = new HttpRequestMessage(HttpMethod.Put, "/upload") { Content = new ByteArrayContent(blob) };
        request.Headers.TransferEncodingChunked = chunked;
        request.Headers.TryAddWithoutValidation("Authorization", Token(key, BlossomVerb.Upload, BlossomServer.HashOf(blob)));
        return await http.SendAsync(request);
    }

    private static async Task<Bytes32> HashOfAsync(HttpResponseMessage answer)
    {
        using var descriptor = System.Text.Json.JsonDocument.Parse(await answer.Content.ReadAsByteArrayAsync());
        return Bytes32.ParseHex(descriptor.RootElement.GetProperty("sha256").GetString()!);
    }

    private static string Token(SecretKey key, BlossomVerb verb, Bytes32 hash) =>
        BlossomAuth.CreateHeader(key, verb, [hash], null, DateTimeOffset.UtcNow, TimeSpan.FromMinutes(5));
}
