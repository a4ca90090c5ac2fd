using System.Numerics;
using Marmot.Mls.Crypto;

namespace Marmot.Mls.Tests.Crypto;

/// <summary>
/// Byte strings that are no public key, in the manner of Wycheproof's invalid points: wrong lengths, points of low order, points off the curve, the point at
/// infinity, coordinates that are not reduced, compressed and hybrid forms. Worked out here from the curves' definitions (RFC 7748, 4.1; SEC 1, 2.3; SP
/// 800-186, 3.2.1), not by the code under test.
/// </summary>
internal static class EdgePoints
{
    private static readonly BigInteger Prime25519 = BigInteger.Pow(2, 255) - 19;

    /// <summary>What no KEM of the suite may take.</summary>
    public static IEnumerable<(string What, byte[] Key)> Kem(ushort suite) => suite is 1 or 3 ? X25519() : Nist(suite);

    /// <summary>What no signature scheme of the suite may take.</summary>
    public static IEnumerable<(string What, byte[] Key)> Signature(ushort suite) => suite is 1 or 3 ? Ed25519() : Nist(suite);

    /// <summary>One of each, where every one would take too long.</summary>
    public static byte[] Worst(ushort suite) => Kem(suite).First().Key;

    private static IEnumerable<(string, byte[])> X25519()
    {
        BigInteger[] lowOrder =
        [
            0,
            1,
            BigInteger.Parse("325606250916557431795983626356110631294008115727848805560023387167927233504"),
            BigInteger.Parse("39382357235489614581723060781553021112529911719440698176882885853963445705823"),
            Prime25519 - 1,
            Prime25519,
            Prime25519 + 1,
        ];
        foreach (var u in lowOrder)
        {
            yield return ($"low order {u}", Little(u, 32));
            yield return ($"low order {u} with the ignored bit", Little(u + BigInteger.Pow(2, 255), 32));
        }
        foreach (var length in (int[])[0, 31, 33]) yield return ($"{length} bytes", [.. Enumerable.Repeat((byte)9, length)]);
    }

    private static IEnumerable<(string, byte[])> Ed25519()
    {
        var top = BigInteger.Pow(2, 255);
        foreach (var (what, y) in ((string, BigInteger)[])[
            ("order 1", 1), ("order 2", Prime25519 - 1), ("order 4", 0), ("not reduced 0", Prime25519), ("not reduced 1", Prime25519 + 1),
            ("not reduced 2^255 - 1", top - 1)
        ])
        {
            yield return (what, Little(y, 32));
            yield return (what + " with the sign", Little(y + top, 32));
        }
        yield return ("order 8", Convert.FromHexString("C7176A703D4DD84FBA3C0B760D10670F2A2053FA2C39CCC64EC7FD7792AC037A"));
        yield return ("order 8 with the sign", Convert.FromHexString("C7176A703D4DD84FBA3C0B760D10670F2A2053FA2C39CCC64EC7FD7792AC03FA"));
        yield return ("order 8, the other", Convert.FromHexString("26E8958FC2B227B045C3F489F2EF98F0D5DFAC05D3C63339B13802886D53FC05"));
        yield return ("order 8, the other with the sign", Convert.FromHexString("26E8958FC2B227B045C3F489F2EF98F0D5DFAC05D3C63339B13802886D53FC85"));
        yield return ("off the curve", Little(2, 32));
        yield return ("off the curve with the sign", Little(2 + top, 32));
        foreach (var length in (int[])[0, 31, 33]) yield return ($"{length} bytes", [.. Enumerable.Repeat((byte)9, length)]);
    }

    private static IEnumerable<(string, byte[])> Nist(ushort suite)
    {
        var (p, b, length) = Curve(suite);
        var (x, y) = SmallPoint(p, b);
        byte[] good = [4, .. Big(x, length), .. Big(y, length)];
        Assert.True(CipherSuite.Get(suite).Kem.IsPublicKey(good)); // what is varied is a key

        yield return ("off the curve", [4, .. Big(x, length), .. Big(y + 1, length)]);
        var (otherX, otherY) = SmallPoint(p, b + 1);
        yield return ("on the curve with another b", [4, .. Big(otherX, length), .. Big(otherY, length)]);
        yield return ("the origin", [4, .. new byte[2 * length]]);
        yield return ("infinity", [0]);
        yield return ("infinity, full length", new byte[good.Length]);
        yield return ("x not reduced", [4, .. Big(x + p, length), .. Big(y, length)]);
        yield return ("x is the prime", [4, .. Big(p, length), .. Big(y, length)]);
        yield return ("y is the prime", [4, .. Big(x, length), .. Big(p, length)]);
        yield return ("all ones", [4, .. Enumerable.Repeat((byte)0xff, 2 * length)]);
        yield return ("compressed", [(byte)(y.IsEven ? 2 : 3), .. Big(x, length)]);
        yield return ("compressed, full length", [(byte)(y.IsEven ? 2 : 3), .. good.AsSpan(1)]);
        yield return ("hybrid", [(byte)(y.IsEven ? 6 : 7), .. good.AsSpan(1)]);
        yield return ("without its form", good[1..]);
        yield return ("a byte too short", good[..^1]);
        yield return ("a byte too long", [.. good, 0]);
        yield return ("nothing", []);
    }

    private static (BigInteger P, BigInteger B, int Length) Curve(ushort suite) => suite switch
    {
        2 => (BigInteger.Pow(2, 256) - BigInteger.Pow(2, 224) + BigInteger.Pow(2, 192) + BigInteger.Pow(2, 96) - 1,
            Hex("5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b"), 32),
        7 => (BigInteger.Pow(2, 384) - BigInteger.Pow(2, 128) - BigInteger.Pow(2, 96) + BigInteger.Pow(2, 32) - 1,
            Hex("b3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aef"), 48),
        _ => (BigInteger.Pow(2, 521) - 1,
            Hex("0051953eb9618e1c9a1f929a21a0b68540eea2da725b99b315f3b8b489918ef109e156193951ec7e937b1652c0bd3bb1bf073573df883d2c34f1ef451fd46b503f00"), 66),
    };

    /// <summary>The point with the smallest x: adding the prime to it still fits.</summary>
    private static (BigInteger X, BigInteger Y) SmallPoint(BigInteger p, BigInteger b)
    {
        for (BigInteger x = 1; ; x++)
        {
            if (Root((BigInteger.ModPow(x, 3, p) - (3 * x) + b + p) % p, p) is { } y) return (x, y);
        }
    }

    /// <summary>All three primes are 3 modulo 4.</summary>
    private static BigInteger? Root(BigInteger square, BigInteger p)
    {
        var root = BigInteger.ModPow(square, (p + 1) / 4, p);
        return root * root % p == square ? root : null;
    }

    private static BigInteger Hex(string value) =>
        BigInteger.Parse("0" + value, System.Globalization.NumberStyles.HexNumber, System.Globalization.CultureInfo.InvariantCulture);

    private static byte[] Little(BigInteger value, int length)
    {
        var bytes = new byte[length];
        Assert.True(value.TryWriteBytes(bytes, out _, isUnsigned: true));
        return bytes;
    }

    private static byte[] Big(BigInteger value, int length)
    {
        var bytes = Little(value, length);
        Array.Reverse(bytes);
        return bytes;
    }
}
