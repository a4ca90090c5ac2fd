using Marmot.Client.Groups;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Groups;

namespace Marmot.Client;

public sealed partial class MarmotClient
{
    /// <summary>Encrypts a file under the current epoch's media secret (MIP-04, mip04-v2). The message that carries the reference must be sent in the same epoch.</summary>
    /// <param name="groupId">MLS group id or public id, hex.</param>
    /// <param name="file">The file.</param>
    /// <param name="mimeType">Its media type.</param>
    /// <param name="filename">Its name, 1 to 210 bytes of UTF-8.</param>
    /// <param name="toUrl">Gives the URL for the blob's SHA-256; null leaves it empty.</param>
    /// <returns>The reference for an imeta tag, and what to upload.</returns>
    public (MediaReference Media, byte[] Blob) EncryptMedia(string groupId, ReadOnlySpan<byte> file, string mimeType, string filename, Func<Bytes32, string>? toUrl = null)
    {
        _gate.Wait();
        try
        {
            var session = Session(groupId);
            byte[] secret = MipGroup.MediaSecret(session.Mls, session.Epoch);
            var media = EncryptedMedia.Encrypt(secret, file, mimeType, filename, toUrl ?? (_ => string.Empty), out byte[] blob);
            System.Security.Cryptography.CryptographicOperations.ZeroMemory(secret);
            return (media, blob);
        }
        catch (ArgumentException exception)
        {
            throw new ClientException(exception.Message, exception);
        }
        finally
        {
            _gate.Release();
        }
    }

    /// <summary>Decrypts a blob with the secret of the message's epoch, which is kept with the message; without a message every secret at hand is tried.</summary>
    /// <param name="groupId">MLS group id or public id, hex.</param>
    /// <param name="media">The reference.</param>
    /// <param name="blob">What was downloaded.</param>
    /// <param name="message">Id of the inner event that carries the reference.</param>
    /// <exception cref="ClientException">No secret opens it, or the file is not what the reference says.</exception>
    public byte[] DecryptMedia(string groupId, MediaReference media, ReadOnlySpan<byte> blob, Bytes32? message = null)
    {
        _gate.Wait();
        try
        {
            var session = Session(groupId);
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
        finally
        {
            _gate.Release();
        }
    }
}
