namespace Marmot.Client.Profiles;

/// <summary>The generation of Marmot a group or a key package belongs to; set once when it is made or joined, never guessed again per message.</summary>
public enum MarmotProfile
{
    /// <summary>None of the known ones, or a mixture: refused.</summary>
    Unknown,

    /// <summary>P1, January 2026 and before: kind 443, NIP-44 envelope, group data version 1. Read only.</summary>
    Legacy,

    /// <summary>P2, the MIP documents of 2026: kind 30443, ChaCha20-Poly1305 envelope, group data version 2 and 3.</summary>
    Mip,

    /// <summary>P3, July 2026: app components, kind 30443 of another form, convergence. <c>Client.Adopted</c> speaks it.</summary>
    Adopted,
}
