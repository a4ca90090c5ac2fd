using Marmot.Client.Accounts;
using Marmot.Client.Groups;
using Marmot.Client.Relays;
using Marmot.Client.Sending;
using Marmot.Mls.Messages;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Groups;
using Marmot.Protocol.Keys;

namespace Marmot.Client.Media;

/// <summary>Files and pictures of groups (MIP-01, MIP-04): encrypted here, stored in Blossom as ciphertext.</summary>
internal sealed class GroupMedia
{
    private readonly Account _account;
    private readonly GroupSessions _sessions;
    private readonly CommitPublisher _commits;
    private readonly MessageSender _messages;
    private readonly KeyRenewal _renewal;
    private readonly BlossomClient _blossom;

    public GroupMedia(Account account, GroupSessions sessions, CommitPublisher commits, MessageSender messages, KeyRenewal renewal, BlossomClient blossom)
        => (_account, _sessions, _commits, _messages, _renewal, _blossom) = (account, sessions, commits, messages, renewal, blossom);

    /// <summary>Encrypts a file under the current epoch's media secret (MIP-04, mip04-v2). The message that carries the reference must be sent in the same
    /// epoch.</summary>
    public (MediaReference Media, byte[] Blob) Encrypt(string groupId, ReadOnlySpan<byte> file, string mimeType, string filename,
        Func<Bytes32, string>? toUrl = null)
    {
        using var gate = _sessions.Enter();
        try
        {
            var session = _sessions.Require(groupId);
            byte[] secret = MipGroup.MediaSecret(session.Mls, session.Epoch);
            var media = EncryptedMedia.Encrypt(secret, file, mimeType, filename, toUrl ?? (_ => string.Empty), out byte[] blob);
            System.Security.Cryptography.CryptographicOperations.ZeroMemory(secret);
            return (media, blob);
        }
        catch (ArgumentException exception)
        {
            throw new ClientException(exception.Message, exception);
        }
    }

    /// <summary>Decrypts a blob with the secret of the message's epoch, which is kept with the message; without a message every secret at hand is
    /// tried.</summary>
    public byte[] Decrypt(string groupId, MediaReference media, ReadOnlySpan<byte> blob, Bytes32? message = null)
    {
        using var gate = _sessions.Enter();
        var session = _sessions.Require(groupId);
        if (message is { } id && session.MediaSecretOf(id) is { } own && EncryptedMedia.TryDecrypt(own, media, blob, out byte[]? file))
        {
            return file;
        }

        foreach (byte[] secret in session.MediaSecrets())
        {
            if (EncryptedMedia.TryDecrypt(secret, media, blob, out file))
            {
                return file;
            }
        }

        throw new ClientException("no secret at hand opens this file, or it was changed on the way");
    }

    /// <summary>Encrypts a file, stores it in the first Blossom server that takes it under a key made for this one upload, and sends the message that carries
    /// it.</summary>
    public async Task<SentMessage> SendFileAsync(string groupId, ReadOnlyMemory<byte> file, string mimeType, string filename, string caption = "",
        CancellationToken cancellationToken = default)
    {
        while (true)
        {
            ulong epoch = _sessions.Require(groupId).Epoch;
            var (media, blob) = Encrypt(groupId, file.Span, mimeType, filename);
            var url = await UploadAsync(blob, uploader: null, cancellationToken);

            // Secret and message must be of one epoch; a commit in between means another blob.
            if (await _messages.SendInEpochAsync(groupId, caption, [(media with { Url = url.AbsoluteUri }).ToTag()], epoch, cancellationToken) is { } sent)
            {
                return sent;
            }
        }
    }

    /// <summary>Fetches and decrypts the file of a message.</summary>
    public async Task<(MediaReference Media, byte[] File)> GetFileAsync(string groupId, Rumor message, CancellationToken cancellationToken = default)
    {
        var tag = message.Tags.FirstOrDefault(one => one[0] == "imeta") ?? throw new ClientException("the message has no file");
        if (!MediaReference.TryParse(tag, out var media, out var reason))
        {
            throw new ClientException($"the message's file reference is refused: {reason}");
        }

        if (!media.TryGetBlobHash(out var hash))
        {
            throw new ClientException("the file's URL does not name its hash");
        }

        byte[] blob = await DownloadAsync(hash, new Uri(media.Url), cancellationToken);
        return (media, Decrypt(groupId, media, blob, message.Id));
    }

    /// <summary>Gives the group a picture: encrypted, in Blossom, its keys in the group data (MIP-01). Admins only.</summary>
    public async Task<IReadOnlyList<PublishedEvent>> SetImageAsync(string groupId, ReadOnlyMemory<byte> image, CancellationToken cancellationToken = default)
    {
        await _renewal.EnsureAsync(groupId, cancellationToken);
        using var gate = await _sessions.EnterAsync(cancellationToken);
        var session = _sessions.RequireAdmin(groupId);
        var data = GroupImage.Encrypt(image.Span, CommitPublisher.Writable(session), out byte[] blob);
        using var uploader = GroupImage.DeriveUploadKey(data) ?? throw new ClientException("the upload key could not be made; try again");
        await UploadAsync(blob, uploader, cancellationToken);
        return await _commits.ChangeDataAsync(session, data, [], cancellationToken);
    }

    /// <summary>Takes the picture away and asks the servers to delete it. Admins only.</summary>
    public async Task<IReadOnlyList<PublishedEvent>> RemoveImageAsync(string groupId, CancellationToken cancellationToken = default)
    {
        await _renewal.EnsureAsync(groupId, cancellationToken);
        using var gate = await _sessions.EnterAsync(cancellationToken);
        var session = _sessions.RequireAdmin(groupId);
        var data = CommitPublisher.Writable(session);
        var published = await _commits.ChangeDataAsync(session, data with { ImageHash = null, ImageKey = null, ImageNonce = null, ImageUploadKey = null }, [],
            cancellationToken);
        using var uploader = GroupImage.DeriveUploadKey(data);
        foreach (string server in uploader is null || data.ImageHash is null ? [] : _account.Settings.BlossomServers)
        {
            try
            {
                await _blossom.DeleteAsync(new Uri(server), new Bytes32(data.ImageHash!), uploader!, cancellationToken);
            }
            catch (ClientException)
            {
                // The key is gone from the group either way.
            }
        }

        return published;
    }

    /// <summary>The group's picture; null when it has none.</summary>
    public async Task<byte[]?> GetImageAsync(string groupId, CancellationToken cancellationToken = default)
    {
        var data = _sessions.Require(groupId).Data;
        if (data.ImageHash is not { } hash)
        {
            return null;
        }

        byte[] blob = await DownloadAsync(new Bytes32(hash), null, cancellationToken);
        return GroupImage.TryDecrypt(data, blob, out byte[]? image) ? image : throw new ClientException("the picture does not open with the group's key");
    }

    private async Task<Uri> UploadAsync(byte[] blob, SecretKey? uploader, CancellationToken cancellationToken)
    {
        ClientException? last = null;
        foreach (string server in _account.Settings.BlossomServers)
        {
            try
            {
                return await _blossom.UploadAsync(new Uri(server), blob, uploader, cancellationToken);
            }
            catch (ClientException refusal)
            {
                last = refusal;
            }
        }

        throw last ?? new ClientException("no Blossom server is configured");
    }

    // From where the message says, if this client may be sent there, else from the own servers, by hash.
    private async Task<byte[]> DownloadAsync(Bytes32 hash, Uri? url, CancellationToken cancellationToken)
    {
        var places = new List<Uri>();
        if (url is not null && BlossomClient.MayFetch(url, _account.Settings.BlossomServers))
        {
            places.Add(url);
        }

        places.AddRange(_account.Settings.BlossomServers.Select(server => new Uri(new Uri(server), $"/{hash}")));
        ClientException? last = null;
        foreach (var place in places)
        {
            try
            {
                return await _blossom.DownloadAsync(place, hash, cancellationToken);
            }
            catch (ClientException refusal)
            {
                last = refusal;
            }
        }

        throw last ?? new ClientException("the file lies where this client does not fetch from, and no Blossom server is configured");
    }
}
