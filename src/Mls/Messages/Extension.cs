using Marmot.Mls.Codec;

namespace Marmot.Mls.Messages;

/// <summary>Extension type numbers (RFC 9420, 17.3).</summary>
public static class ExtensionType
{
    /// <summary>Leaf: an application's own id.</summary>
    public const ushort ApplicationId = 1;

    /// <summary>GroupInfo: the whole tree.</summary>
    public const ushort RatchetTree = 2;

    /// <summary>GroupContext: what every member must support.</summary>
    public const ushort RequiredCapabilities = 3;

    /// <summary>GroupInfo: the HPKE key for external commits.</summary>
    public const ushort ExternalPub = 4;

    /// <summary>GroupContext: who may propose from outside.</summary>
    public const ushort ExternalSenders = 5;

    /// <summary>GroupContext, LeafNode, KeyPackage, GroupInfo: data of application components (draft-ietf-mls-extensions, 4.6).</summary>
    public const ushort AppDataDictionary = 6;

    /// <summary>KeyPackage: may be used more than once (Marmot, MIP-00).</summary>
    public const ushort LastResort = 0x000a;

    /// <summary>The types every member supports without saying so (RFC 9420, 7.2).</summary>
    internal static bool IsDefault(ushort type) => type is >= 1 and <= 5;
}

/// <summary>An extension, carried as its bytes whether the type is known or not.</summary>
/// <param name="Type">The extension type.</param>
/// <param name="Data">The content; owned by this value, do not change.</param>
public sealed record Extension(ushort Type, byte[] Data) : IWireValue
{
    internal static Extension Read(ref TlsReader reader) => new(reader.ReadUInt16(), reader.ReadBytes());

    internal static Extension[] ReadList(ref TlsReader reader) => reader.ReadList(Read, MaxCount.Extensions);

    /// <inheritdoc/>
    public void Write(TlsWriter writer)
    {
        writer.WriteUInt16(Type);
        writer.WriteOpaque(Data);
    }

    internal static Extension? Find(IEnumerable<Extension> list, ushort type)
    {
        foreach (var extension in list)
        {
            if (extension.Type == type) return extension;
        }
        return null;
    }

    internal static void RefuseDuplicates(Extension[] list)
    {
        for (var i = 0; i < list.Length; i++)
        {
            for (var j = 0; j < i; j++) MlsException.ThrowIf(list[i].Type == list[j].Type, MlsError.DuplicateExtension);
        }
    }
}

/// <summary>The required_capabilities extension (RFC 9420, 11.1).</summary>
/// <param name="Extensions">Extension types every member supports.</param>
/// <param name="Proposals">Proposal types every member supports.</param>
/// <param name="Credentials">Credential types every member supports.</param>
public sealed record RequiredCapabilities(ushort[] Extensions, ushort[] Proposals, ushort[] Credentials) : IWireValue
{
    /// <inheritdoc/>
    public void Write(TlsWriter writer)
    {
        writer.WriteUInt16Vector(Extensions);
        writer.WriteUInt16Vector(Proposals);
        writer.WriteUInt16Vector(Credentials);
    }

    /// <summary>As an extension of a group context.</summary>
    public Extension ToExtension() => new(ExtensionType.RequiredCapabilities, TlsWriter.Encode(this));

    internal static RequiredCapabilities? Find(Extension[] list)
    {
        var extension = Extension.Find(list, ExtensionType.RequiredCapabilities);
        if (extension is null) return null;
        var reader = new TlsReader(extension.Data);
        var value = new RequiredCapabilities(reader.ReadUInt16Vector(), reader.ReadUInt16Vector(), reader.ReadUInt16Vector());
        reader.ExpectEnd();
        return value;
    }
}

/// <summary>One entry of the external_senders extension (RFC 9420, 12.1.8.1).</summary>
/// <param name="SignatureKey">Public key that signs the proposals.</param>
/// <param name="Credential">Whose key it is.</param>
public sealed record ExternalSender(byte[] SignatureKey, Credential Credential) : IWireValue
{
    /// <inheritdoc/>
    public void Write(TlsWriter writer)
    {
        writer.WriteOpaque(SignatureKey);
        Credential.Write(writer);
    }

    /// <summary>The extension with these senders.</summary>
    public static Extension ToExtension(IEnumerable<ExternalSender> senders)
    {
        var writer = new TlsWriter();
        writer.WriteVector(senders);
        return new Extension(ExtensionType.ExternalSenders, writer.ToArray());
    }

    /// <summary>Refuses a sender whose signature key is none of the suite (RFC 9420, 12.1.8.1).</summary>
    internal static void Check(Extension[] list, Crypto.CipherSuite suite)
    {
        foreach (var sender in Find(list)) MlsException.ThrowIf(!suite.Signature.IsPublicKey(sender.SignatureKey), MlsError.InvalidKey);
    }

    internal static ExternalSender[] Find(Extension[] list)
    {
        var extension = Extension.Find(list, ExtensionType.ExternalSenders);
        if (extension is null) return [];
        var reader = new TlsReader(extension.Data);
        var senders = reader.ReadList((ref TlsReader body) => new ExternalSender(body.ReadBytes(), Credential.Read(ref body)), MaxCount.Extensions);
        reader.ExpectEnd();
        return senders;
    }
}
