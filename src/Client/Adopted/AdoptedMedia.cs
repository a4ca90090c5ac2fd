using Marmot.Client.Accounts;
using Marmot.Client.Media;
using Marmot.Client.Relays;
using Marmot.Protocol.Components;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Groups;
using Marmot.Protocol.Keys;

namespace Marmot.Client.Adopted;

/// <summary>Files and pictures of groups of the adopted profile: encrypted-media-v2 and component 0x8002, in Blossom as ciphertext.</summary>
internal sealed class AdoptedMedia(Account account, AdoptedGroups groups, BlossomClient blossom)
{
    private const int MaxPictureBytes = 10 * 1024 * 1024;

    /// <summary>A server's URL as a media policy names it; null for one that cannot be named.</summary>
    public static string? Normalized(string server) =>
        Uri.TryCreate(server, UriKind.Absolute, out var url) && url.Query.Length == 0 && url.Fragment.Length == 0 && url.UserInfo.Length == 0
        ? url.AbsoluteUri : null;

    /// <summary>Encrypts a file under the state the message is made in, uploads it and sends the message; when the group moves meanwhile, anew.</summary>
    public async Task<SentMessage> SendFileAsync(string groupId, ReadOnlyMemory<byte> file, string mimeType, string filename, string caption,
        CancellationToken cancellationToken)
    {
        while (true)
        {
            var (state, secret) = groups.Read(groupId, group => (group.TipState, AdoptedState.MediaSecret(group.Mls)));
            MediaAttachment attachment;
            byte[] blob;
            try
            {
                attachment = MediaAttachment.Encrypt(secret, file.Span, mimeType, filename, hash => $"https://media.invalid/{hash}", out blob);
            }
            catch (ArgumentException exception)
            {
                throw new ClientException(exception.Message, exception);
            }

            var url = await UploadAsync(blob, null, cancellationToken);
            attachment = attachment with { Locators = [new MediaLocator(MediaPolicy.Blossom, url.AbsoluteUri)] };
            if (await groups.SendAsync(
                groupId,
                group => group.TipState == state ? Rumor.Create(account.PublicKey, MarmotNumbers.ChatKind, [attachment.ToTag()], caption, account.Now) : null,
                cancellationToken) is { } sent)
            {
                return sent;
            }
        }
    }

    /// <summary>Fetches and decrypts the file of a message.</summary>
    public async Task<(MediaReference Media, byte[] File)> GetFileAsync(string groupId, Rumor message, CancellationToken cancellationToken)
    {
        string[] tag = message.Tags.FirstOrDefault(one => one[0] == "imeta") ?? throw new ClientException("the message has no file");
        if (!MediaAttachment.TryParse(tag, out var attachment, out var reason))
        {
            throw new ClientException($"the message's attachment is refused: {reason.Text}");
        }

        byte[] secret = groups.Read(groupId, group =>
            group.MediaSecretOf(message.Id)) ?? throw new ClientException("the media secret of this message is not known");
        var places = attachment.Locators.Where(locator => locator.Kind == MediaPolicy.Blossom && Uri.TryCreate(locator.Value, UriKind.Absolute, out _))
            .Select(locator => new Uri(locator.Value))
            .Where(url => BlossomClient.MayFetch(url, account.Settings.BlossomServers));
        byte[] blob = await DownloadAsync(attachment.CiphertextHash, places, cancellationToken);
        if (!attachment.TryDecrypt(secret, blob, out byte[]? file))
        {
            throw new ClientException("no secret at hand opens this file, or it was changed on the way");
        }

        var media = new MediaReference
        {
            Url = attachment.Locators[0].Value,
            MimeType = attachment.MimeType,
            Filename = attachment.Filename,
            Dimensions = attachment.Dimensions,
            PlaintextHash = attachment.PlaintextHash,
            Nonce = attachment.Nonce,
        };
        return (media, file);
    }

    /// <summary>Gives the group an encrypted picture.</summary>
    public async Task<IReadOnlyList<PublishedEvent>> SetPictureAsync(string groupId, ReadOnlyMemory<byte> image, CancellationToken cancellationToken)
    {
        if (image.Length is 0 or > MaxPictureBytes)
        {
            throw new ClientException("a picture has 1 byte to 10 MiB");
        }

        var picture = GroupPicture.Encrypt(image.Span, TypeOf(image.Span), out byte[] blob);
        using var uploader = picture.CreateUploadKey();
        await UploadAsync(blob, uploader, cancellationToken);
        return await groups.ChangeAsync(groupId, _ => new AdoptedChange { Picture = picture.ToBytes() }, cancellationToken);
    }

    /// <summary>Takes the picture away and asks the servers to delete it.</summary>
    public async Task<IReadOnlyList<PublishedEvent>> RemovePictureAsync(string groupId, CancellationToken cancellationToken)
    {
        var picture = groups.Read(groupId, group => group.State.Picture);
        var published = await groups.ChangeAsync(groupId, _ => new AdoptedChange { Picture = GroupPicture.NoPicture }, cancellationToken);
        using var uploader = picture?.CreateUploadKey();
        foreach (string server in uploader is null ? [] : account.Settings.BlossomServers)
        {
            try
            {
                await blossom.DeleteAsync(new Uri(server), picture!.Hash, uploader!, cancellationToken);
            }
            catch (ClientException)
            {
                // The key is gone from the group either way.
            }
        }

        return published;
    }

    /// <summary>The group's encrypted picture; null when it has none.</summary>
    public async Task<byte[]?> GetPictureAsync(string groupId, CancellationToken cancellationToken)
    {
        if (groups.Read(groupId, group => group.State.Picture) is not { } picture)
        {
            return null;
        }

        byte[] blob = await DownloadAsync(picture.Hash, [], cancellationToken);
        return picture.TryDecrypt(blob, out byte[]? image) ? image : throw new ClientException("the picture does not open with the group's key");
    }

    private static string TypeOf(ReadOnlySpan<byte> image) => image switch
    {
        [0x89, (byte)'P', (byte)'N', (byte)'G', ..] => "image/png",
        [0xff, 0xd8, 0xff, ..] => "image/jpeg",
        [(byte)'G', (byte)'I', (byte)'F', ..] => "image/gif",
        [(byte)'R', (byte)'I', (byte)'F', (byte)'F', _, _, _, _, (byte)'W', (byte)'E', (byte)'B', (byte)'P', ..] => "image/webp",
        _ => throw new ClientException("a picture is a PNG, JPEG, GIF or WebP file"),
    };

    private async Task<Uri> UploadAsync(byte[] blob, SecretKey? uploader, CancellationToken cancellationToken)
    {
        ClientException? last = null;
        foreach (string server in account.Settings.BlossomServers)
        {
            try
            {
                return await blossom.UploadAsync(new Uri(server), blob, uploader, cancellationToken);
            }
            catch (ClientException refusal)
            {
                last = refusal;
            }
        }

        throw last ?? new ClientException("no Blossom server is configured");
    }

    private async Task<byte[]> DownloadAsync(Bytes32 hash, IEnumerable<Uri> places, CancellationToken cancellationToken)
    {
        ClientException? last = null;
        foreach (var place in places.Concat(account.Settings.BlossomServers.Select(server => new Uri(new Uri(server), $"/{hash}"))))
        {
            try
            {
                return await blossom.DownloadAsync(place, hash, cancellationToken);
            }
            catch (ClientException refusal)
            {
                last = refusal;
            }
        }

        throw last ?? new ClientException("the file lies where this client does not fetch from, and no Blossom server is configured");
    }
}
