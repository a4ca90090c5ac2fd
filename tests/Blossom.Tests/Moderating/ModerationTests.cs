using System.Net;
using Marmot.Blossom.Retention;
using Marmot.Hosting.Moderating;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Keys;
using Marmot.TestKit;
using Microsoft.Extensions.DependencyInjection;

namespace Marmot.Blossom.Tests.Moderating;

/// <summary>What the operator decides while the blob store runs.</summary>
public sealed class ModerationTests
{
    [Theory]
    [InlineData("Private")]
    [InlineData("General")]
    public async Task A_banned_key_uploads_nothing_and_its_blobs_go_but_not_those_that_somebody_else_holds(string profile)
    {
        await using var server = await BlossomServer.StartAsync($"--Blossom:Profile={profile}");
        using var bad = SecretKey.Generate();
        using var good = SecretKey.Generate();
        byte[] own = [1], shared = [2];
        Assert.Equal(HttpStatusCode.Created, await PutAsync(server, bad, own));
        Assert.Equal(HttpStatusCode.Created, await PutAsync(server, bad, shared));
        Assert.Equal(HttpStatusCode.OK, await PutAsync(server, good, shared));

        await DecideAsync(server, "ban-key", Nip19.EncodePublicKey(bad.PublicKey));
        Assert.Equal(HttpStatusCode.Forbidden, await PutAsync(server, bad, [3]));
        Assert.Equal(HttpStatusCode.NotFound, await GetAsync(server, own));
        Assert.Equal(HttpStatusCode.OK, await GetAsync(server, shared));
        Assert.Equal(HttpStatusCode.Created, await PutAsync(server, good, [3]));

        await DecideAsync(server, "unban-key", bad.PublicKey.ToString());
        Assert.Equal(HttpStatusCode.Created, await PutAsync(server, bad, own));
    }

    [Fact]
    public async Task A_banned_blob_is_deleted_and_neither_taken_nor_served_again()
    {
        await using var server = await BlossomServer.StartAsync();
        using var key = SecretKey.Generate();
        var blob = BlossomServer.RandomBlob(9000);
        await PutAsync(server, key, blob);
        var hash = BlossomServer.HashOf(blob).ToString();
        await DecideAsync(server, "ban-blob", hash);
        Assert.Empty(server.BlobFiles());
        Assert.Equal(HttpStatusCode.NotFound, await GetAsync(server, blob));
        Assert.Equal(HttpStatusCode.Forbidden, await PutAsync(server, key, blob));
        await DecideAsync(server, "unban-blob", hash);
        Assert.Equal(HttpStatusCode.Created, await PutAsync(server, key, blob));
    }

    [Fact]
    public async Task A_blocked_address_gets_403_for_everything()
    {
        await using var server = await BlossomServer.StartAsync();
        using var key = SecretKey.Generate();
        await PutAsync(server, key, [1]);
        using var fresh = new HttpClient { BaseAddress = server.Address };
        await DecideAsync(server, "block-address", "127.0.0.1");
        Assert.Equal(HttpStatusCode.Forbidden, await PutAsync(server, key, [2]));
        Assert.Equal(HttpStatusCode.Forbidden, (await fresh.GetAsync($"/{BlossomServer.HashOf([1])}")).StatusCode);
        await DecideAsync(server, "unblock-address", "127.0.0.1");
        Assert.Equal(HttpStatusCode.OK, (await fresh.GetAsync($"/{BlossomServer.HashOf([1])}")).StatusCode);
    }

    [Fact]
    public async Task The_allow_list_and_the_list_of_blocked_hashes_are_read_again_when_they_change()
    {
        using var folder = new TemporaryFolder();
        using var alice = SecretKey.Generate();
        using var bob = SecretKey.Generate();
        using var carol = SecretKey.Generate();
        await File.WriteAllTextAsync(folder.File("allow"), $"{Nip19.EncodePublicKey(alice.PublicKey)} # alice\n");
        await File.WriteAllTextAsync(folder.File("block"), $"{BlossomServer.HashOf([9])}\n");
        await using var server = await BlossomServer.StartAsync(
            $"--Public:AllowListFile={folder.File("allow")}", $"--Blossom:BlockedHashesFile={folder.File("block")}",
                $"--Blossom:AllowedKeys:0={carol.PublicKey}");
        Assert.Equal(HttpStatusCode.Created, await PutAsync(server, alice, [1]));
        Assert.Equal(HttpStatusCode.Forbidden, await PutAsync(server, bob, [2]));
        Assert.Equal(HttpStatusCode.Created, await PutAsync(server, carol, [3]));
        Assert.Equal(HttpStatusCode.Forbidden, await PutAsync(server, alice, [9]));

        await File.WriteAllTextAsync(folder.File("allow"), $"{bob.PublicKey}\n");
        await File.WriteAllTextAsync(folder.File("block"), "");
        server.Clock.Pass(TimeSpan.FromSeconds(2));
        Assert.Equal(HttpStatusCode.Created, await PutAsync(server, bob, [2]));
        Assert.Equal(HttpStatusCode.Forbidden, await PutAsync(server, alice, [4]));
        Assert.Equal(HttpStatusCode.Created, await PutAsync(server, bob, [9]));

        // One with a mistake, or none at all, locks nobody out.
        await File.WriteAllTextAsync(folder.File("allow"), "nonsense\n");
        File.Delete(folder.File("block"));
        server.Clock.Pass(TimeSpan.FromSeconds(2));
        Assert.Equal(HttpStatusCode.Created, await PutAsync(server, bob, [5]));

        await DecideAsync(server, "allow-key", alice.PublicKey.ToString());
        Assert.Equal(HttpStatusCode.Created, await PutAsync(server, alice, [4]));
    }

    [Fact]
    public async Task The_bytes_that_a_key_may_store_count_over_a_restart_and_come_back_with_a_deletion()
    {
        using var folder = new TemporaryFolder();
        using var key = SecretKey.Generate();
        string[] settings = ["--Blossom:Profile=General", "--Blossom:KeyBytesStored=1000"];
        await using (var server = await BlossomServer.StartInAsync(folder.Path, null, settings))
        {
            Assert.Equal(HttpStatusCode.Created, await PutAsync(server, key, new byte[600]));
        }

        await using var later = await BlossomServer.StartInAsync(folder.Path, null, settings);
        Assert.Equal(HttpStatusCode.InsufficientStorage, await PutAsync(later, key, new byte[401]));
        Assert.Equal(HttpStatusCode.Created, await PutAsync(later, key, new byte[400]));
        using var other = SecretKey.Generate();
        Assert.Equal(HttpStatusCode.OK, await PutAsync(later, other, new byte[600]));
        (await later.DeleteAsync(key, BlossomServer.HashOf(new byte[600]))).Dispose();
        Assert.Equal(HttpStatusCode.Created, await PutAsync(later, key, new byte[401]));
    }

    [Fact]
    public async Task A_blob_that_nobody_reads_ends_and_one_that_is_read_stays()
    {
        using var folder = new TemporaryFolder();
        var start = DateTimeOffset.UtcNow;
        using var key = SecretKey.Generate();
        byte[] read = [1], unread = [2];
        string[] settings = ["--Blossom:EndUnreadAfter=10.00:00:00", "--Blossom:Retention=00:00:00"];
        await using var server = await BlossomServer.StartInAsync(folder.Path, start, settings);
        await PutAsync(server, key, read);
        await PutAsync(server, key, unread);
        var janitor = server.Services.GetRequiredService<Janitor>();
        for (var day = 0; day < 12; day++)
        {
            server.Clock.Wait(TimeSpan.FromDays(1));
            Assert.Equal(HttpStatusCode.OK, await GetAsync(server, read));
            await server.Services.GetRequiredService<Blobs.BlobReads>().WriteAsync(CancellationToken.None);
        }

        Assert.Equal(1, await janitor.SweepUnreadAsync(CancellationToken.None));
        Assert.Equal(HttpStatusCode.OK, await GetAsync(server, read));
        Assert.Equal(HttpStatusCode.NotFound, await GetAsync(server, unread));
    }

    [Fact]
    public async Task A_ban_made_while_the_server_was_stopped_is_carried_out_at_its_start()
    {
        using var folder = new TemporaryFolder();
        using var key = SecretKey.Generate();
        byte[] blob = [7];
        await using (var server = await BlossomServer.StartInAsync(folder.Path, null))
        {
            await PutAsync(server, key, blob);
        }

        using (var moderation = new Moderation(new ModerationFile(folder.Path)))
        {
            await new Decisions(moderation, [], Clock.Running()).DecideAsync("ban-key", key.PublicKey.ToString(), "", "test", CancellationToken.None);
        }

        await using var later = await BlossomServer.StartInAsync(folder.Path, null);
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        while (await GetAsync(later, blob) != HttpStatusCode.NotFound)
        {
            await Task.Delay(10, patience.Token);
        }
    }

    private static Task DecideAsync(BlossomServer server, string action, string target) =>
        server.Services.GetRequiredService<Decisions>().DecideAsync(action, target, "", "test", CancellationToken.None);

    private static async Task<HttpStatusCode> PutAsync(BlossomServer server, SecretKey key, byte[] blob) => (await server.UploadAsync(key, blob)).StatusCode;

    private static async Task<HttpStatusCode> GetAsync(BlossomServer server, byte[] blob) =>
        (await server.SendAsync(HttpMethod.Get, $"/{BlossomServer.HashOf(blob)}")).StatusCode;
}
