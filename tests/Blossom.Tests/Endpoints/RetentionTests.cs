using System.Net;
using System.Text;
using System.Text.Json;
using Marmot.Blossom.Retention;
using Marmot.Protocol.Auth;
using Marmot.Protocol.Keys;
using Microsoft.Extensions.DependencyInjection;

namespace Marmot.Blossom.Tests.Endpoints;

[Trait("Spec", "BUD-12")]
public sealed class RetentionTests
{
    [Fact]
    public async Task Delete_takes_the_callers_claim_and_the_bytes_with_the_last_one()
    {
        await using var server = await BlossomServer.StartAsync();
        using var alice = SecretKey.Generate();
        using var bob = SecretKey.Generate();
        using var mallory = SecretKey.Generate();
        var blob = BlossomServer.RandomBlob(5000);
        var hash = BlossomServer.HashOf(blob);
        using var one = await server.UploadAsync(alice, blob);
        using var two = await server.UploadAsync(bob, blob);

        Assert.Equal(HttpStatusCode.Forbidden, (await server.DeleteAsync(mallory, hash)).StatusCode);
        Assert.Equal(HttpStatusCode.NoContent, (await server.DeleteAsync(alice, hash)).StatusCode);
        Assert.Equal(HttpStatusCode.OK, (await server.SendAsync(HttpMethod.Head, $"/{hash}")).StatusCode);
        Assert.Equal(HttpStatusCode.NoContent, (await server.DeleteAsync(bob, hash)).StatusCode);
        Assert.Equal(HttpStatusCode.NotFound, (await server.SendAsync(HttpMethod.Head, $"/{hash}")).StatusCode);
        Assert.Equal(HttpStatusCode.NotFound, (await server.DeleteAsync(bob, hash)).StatusCode);
        Assert.Empty(server.BlobFiles());
    }

    [Fact]
    public async Task After_the_last_claim_nothing_of_blob_or_metadata_is_in_any_file()
    {
        await using var server = await BlossomServer.StartAsync("--Blossom:Profile=General");
        using var key = SecretKey.Generate();
        var blob = BlossomServer.RandomBlob(5000);
        var hash = BlossomServer.HashOf(blob);
        using var answer = await server.UploadAsync(key, blob);
        Assert.True(AnyFileHolds(server, hash.Span) && AnyFileHolds(server, key.PublicKey.Span) && AnyFileHolds(server, blob.AsSpan(1000, 64)));
        Assert.Equal(HttpStatusCode.NoContent, (await server.DeleteAsync(key, hash)).StatusCode);
        Assert.False(AnyFileHolds(server, hash.Span));
        Assert.False(AnyFileHolds(server, key.PublicKey.Span));
        Assert.False(AnyFileHolds(server, blob.AsSpan(1000, 64)));
    }

    [Fact]
    public async Task The_private_profile_does_not_store_who_uploaded()
    {
        await using var server = await BlossomServer.StartAsync();
        using var key = SecretKey.Generate();
        using var answer = await server.UploadAsync(key, [1, 2, 3]);
        Assert.False(AnyFileHolds(server, key.PublicKey.Span));
    }

    [Fact]
    public async Task A_download_under_way_ends_whole_when_the_blob_is_deleted_meanwhile()
    {
        await using var server = await BlossomServer.StartAsync();
        using var key = SecretKey.Generate();
        var blob = BlossomServer.RandomBlob(24 * 1024 * 1024); // more than sockets buffer
        var hash = BlossomServer.HashOf(blob);
        using var up = await server.UploadAsync(key, blob);
        using var down = await server.Http.GetAsync($"/{hash}", HttpCompletionOption.ResponseHeadersRead);
        await using var stream = await down.Content.ReadAsStreamAsync();
        Assert.Equal(HttpStatusCode.NoContent, (await server.DeleteAsync(key, hash)).StatusCode);
        using var copy = new MemoryStream();
        await stream.CopyToAsync(copy);
        Assert.Equal(hash, BlossomServer.HashOf(copy.ToArray()));
        Assert.Equal(HttpStatusCode.NotFound, (await server.SendAsync(HttpMethod.Head, $"/{hash}")).StatusCode);
    }

    [Fact]
    public async Task Upload_and_delete_of_one_blob_in_a_race_never_lose_an_acknowledged_upload()
    {
        await using var server = await BlossomServer.StartAsync();
        using var alice = SecretKey.Generate();
        using var bob = SecretKey.Generate();
        var blob = BlossomServer.RandomBlob(2000);
        var hash = BlossomServer.HashOf(blob);
        for (var round = 0; round < 40; round++)
        {
            (await server.UploadAsync(alice, blob)).Dispose();
            var upload = server.UploadAsync(bob, blob);
            var delete = server.DeleteAsync(alice, hash);
            Assert.True((await upload).IsSuccessStatusCode);
            Assert.True((await delete).IsSuccessStatusCode);
            Assert.Equal(blob, await server.Http.GetByteArrayAsync($"/{hash}"));
            Assert.True((await server.DeleteAsync(bob, hash)).IsSuccessStatusCode);
        }

        Assert.Empty(server.BlobFiles());
    }

    [Fact]
    [Trait("Clock", "Date")]
    public async Task A_blob_ends_when_its_uploader_said_and_caches_are_told()
    {
        await using var server = await BlossomServer.StartAsync();
        using var key = SecretKey.Generate();
        var hash = BlossomServer.HashOf([7]);
        var end = server.Clock.GetUtcNow().AddSeconds(100);
        using var up = await server.UploadAsync(key, [7],
            headers: ("X-Expiration", end.ToUnixTimeSeconds().ToString(System.Globalization.CultureInfo.InvariantCulture)));
        using var get = await server.Http.GetAsync($"/{hash}");
        Assert.Equal(end.ToString("R"), get.Header("Sunset"));
        Assert.Equal("public, max-age=100, immutable", get.Header("Cache-Control")!.Replace("  ", " ", StringComparison.Ordinal));
        server.Clock.Advance(TimeSpan.FromSeconds(101));
        Assert.Equal(HttpStatusCode.NotFound, (await server.SendAsync(HttpMethod.Get, $"/{hash}")).StatusCode);
        Assert.Equal(1, await server.Services.GetRequiredService<Janitor>().SweepAsync(CancellationToken.None));
        Assert.Empty(server.BlobFiles());
        Assert.False(AnyFileHolds(server, hash.Span));
    }

    [Fact]
    [Trait("Clock", "Date")]
    public async Task Retention_cuts_what_the_uploader_asks_and_the_longest_claim_holds_the_blob()
    {
        await using var server = await BlossomServer.StartAsync("--Blossom:Retention=1.00:00:00");
        using var alice = SecretKey.Generate();
        using var bob = SecretKey.Generate();
        var now = server.Clock.GetUtcNow();
        using var one = await server.UploadAsync(alice, [7],
            headers: ("X-Expiration", now.AddMinutes(5).ToUnixTimeSeconds().ToString(System.Globalization.CultureInfo.InvariantCulture)));
        using var two = await server.UploadAsync(bob, [7],
            headers: ("X-Expiration", now.AddYears(5).ToUnixTimeSeconds().ToString(System.Globalization.CultureInfo.InvariantCulture)));
        Assert.Equal(now.AddMinutes(5).ToString("R"), one.Header("Sunset"));
        Assert.Equal(now.AddDays(1).ToString("R"), two.Header("Sunset"));
        server.Clock.Advance(TimeSpan.FromMinutes(6));
        await server.Services.GetRequiredService<Janitor>().SweepAsync(CancellationToken.None);
        Assert.Equal(HttpStatusCode.OK, (await server.SendAsync(HttpMethod.Head, $"/{BlossomServer.HashOf([7])}")).StatusCode);
        Assert.Equal(HttpStatusCode.Forbidden, (await server.DeleteAsync(alice, BlossomServer.HashOf([7]))).StatusCode); // her claim has ended
        server.Clock.Wait(TimeSpan.FromDays(1));
        Assert.Equal(1, await server.Services.GetRequiredService<Janitor>().SweepAsync(CancellationToken.None));
        Assert.Empty(server.BlobFiles());
    }

    [Theory]
    [InlineData("soon")]
    [InlineData("1000")]
    [InlineData("-1")]
    [InlineData("99999999999999999999")]
    [InlineData("253402300800")]
    public async Task An_expiration_that_makes_no_sense_is_400(string header)
    {
        await using var server = await BlossomServer.StartAsync();
        using var key = SecretKey.Generate();
        Assert.Equal(HttpStatusCode.BadRequest, (await server.UploadAsync(key, [7], headers: ("X-Expiration", header))).StatusCode);
    }

    [Fact]
    public async Task A_list_is_newest_first_and_pages_lose_nothing_within_one_second()
    {
        await using var server = await BlossomServer.StartAsync("--Blossom:Profile=General");
        using var key = SecretKey.Generate();
        var all = new HashSet<string>();
        for (byte i = 0; i < 25; i++)
        {
            using var up = await server.UploadAsync(key, [i]);
            all.Add(BlossomServer.HashOf([i]).ToString());
            if (i % 10 == 0)
            {
                server.Clock.Advance(TimeSpan.FromSeconds(1));
            }
        }

        var seen = new List<(string Hash, long At)>();
        var cursor = "";
        while (true)
        {
            using var answer = await server.SendAsync(HttpMethod.Get, $"/list/{key.PublicKey}?limit=7{cursor}",
                ("Authorization", server.Token(key, BlossomVerb.List)));
            using var page = JsonDocument.Parse(await answer.Content.ReadAsStringAsync());
            if (page.RootElement.GetArrayLength() == 0)
            {
                break;
            }

            seen.AddRange(page.RootElement.EnumerateArray().Select(one => (one.GetProperty("sha256").GetString()!, one.GetProperty("uploaded").GetInt64())));
            cursor = "&cursor=" + seen[^1].Hash;
        }

        Assert.Equal(25, seen.Count);
        Assert.Equal(all, seen.Select(one => one.Hash).ToHashSet());
        Assert.Equal(seen.Select(one => one.At).OrderDescending(), seen.Select(one => one.At));
    }

    [Fact]
    public async Task A_list_is_for_its_owner_and_off_in_the_private_profile()
    {
        using var alice = SecretKey.Generate();
        using var bob = SecretKey.Generate();
        await using var general = await BlossomServer.StartAsync("--Blossom:Profile=General");
        await using var closed = await BlossomServer.StartAsync();
        var path = $"/list/{alice.PublicKey}";
        Assert.Equal(HttpStatusCode.Unauthorized, (await general.SendAsync(HttpMethod.Get, path)).StatusCode);
        Assert.Equal(HttpStatusCode.Forbidden,
            (await general.SendAsync(HttpMethod.Get, path, ("Authorization", general.Token(bob, BlossomVerb.List)))).StatusCode);
        Assert.Equal(HttpStatusCode.NotFound,
            (await closed.SendAsync(HttpMethod.Get, path, ("Authorization", closed.Token(alice, BlossomVerb.List)))).StatusCode);
    }

    [Fact]
    public async Task Blobs_claims_and_deletions_survive_a_restart_and_what_a_crash_left_is_swept()
    {
        var folder = Directory.CreateTempSubdirectory("blossom-test-").FullName;
        using var key = SecretKey.Generate();
        try
        {
            await using (var server = await BlossomServer.StartInAsync(folder, null))
            {
                (await server.UploadAsync(key, [1])).Dispose();
                (await server.UploadAsync(key, [2])).Dispose();
                (await server.DeleteAsync(key, BlossomServer.HashOf([2]))).Dispose();
            }

            var blossom = Path.Combine(folder, "blossom");
            await File.WriteAllTextAsync(Path.Combine(blossom, "incoming", "half"), "an upload");
            await File.WriteAllTextAsync(Path.Combine(blossom, "leaving", "half"), "a deletion");
            await using (var server = await BlossomServer.StartInAsync(folder, null))
            {
                Assert.Equal([1], await server.Http.GetByteArrayAsync($"/{BlossomServer.HashOf([1])}"));
                Assert.Equal(HttpStatusCode.NotFound, (await server.SendAsync(HttpMethod.Get, $"/{BlossomServer.HashOf([2])}")).StatusCode);
                Assert.Single(server.BlobFiles());
                Assert.Equal(HttpStatusCode.NoContent, (await server.DeleteAsync(key, BlossomServer.HashOf([1]))).StatusCode);
            }
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static bool AnyFileHolds(BlossomServer server, ReadOnlySpan<byte> bytes)
    {
        foreach (var path in Directory.EnumerateFiles(server.Folder, "*", SearchOption.AllDirectories))
        {
            if (path.EndsWith(".lock", StringComparison.Ordinal) || path.EndsWith(".sock", StringComparison.Ordinal))
            {
                continue; // empty, and held; no file
            }

            using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
            using var copy = new MemoryStream();
            file.CopyTo(copy);
            if (copy.GetBuffer().AsSpan(0, (int)copy.Length).IndexOf(bytes) >= 0 || path.Contains(Convert.ToHexStringLower(bytes), StringComparison.Ordinal))
            {
                return true;
            }
        }

        return false;
    }
}
