; A guest of one boot sector that writes memory at a set rate.
;
; It fills all memory, and then writes one word in pages of its working set, which lie all over it, each drawn at random:
; at each tick of the timer (200 a second) as many pages as are due by the ACPI timer, which counts on while a throttled
; processor sleeps; or, as a busy guest, without sleep, and without making up for the time in which it was throttled.
; The last 24 bytes before the boot signature are its settings, which whoever starts it fills in.
bits 16
org 0x7c00

PM_TIMER equ 0x608                      ; where SeaBIOS puts it on the machine "pc": 3,579,545 counts a second, 24 bits
SLICE    equ 1790                       ; counts: half a millisecond
IDT      equ 0x1000

        cli
        xor     ax, ax
        mov     ds, ax
        in      al, 0x92                ; the gate of address line 20
        or      al, 2
        out     0x92, al
        lgdt    [descriptors]
        mov     eax, cr0
        inc     ax
        mov     cr0, eax
        jmp     8:flat

bits 32
flat:   mov     ax, 16
        mov     ds, ax
        mov     es, ax
        mov     ss, ax
        mov     esp, 0x7c00
        mov     edi, 0x100000
fill:   mov     [edi], edi              ; no page is zero: QEMU sends those as a few bytes
        add     edi, 4096
        cmp     edi, [memory_end]
        jb      fill

        mov     esi, controllers        ; interrupt controllers: vectors from 0x20 on, only the timer
        mov     ecx, 12
ports:  movzx   edx, byte [esi]
        mov     al, [esi + 1]
        out     dx, al
        add     esi, 2
        loop    ports

        mov     eax, tick
        mov     [IDT + 0x20 * 8], ax
        mov     word [IDT + 0x20 * 8 + 2], 8
        mov     word [IDT + 0x20 * 8 + 4], 0x8e00
        shr     eax, 16
        mov     [IDT + 0x20 * 8 + 6], ax
        lidt    [interrupts]

        mov     dx, PM_TIMER
        in      eax, dx
        mov     ebp, eax                ; the count at the last tick
        xor     edi, edi                ; pages due, the fraction
        cmp     dword [busy], 0
        jne     slice
        sti
idle:   hlt
        jmp     idle

slice:  in      eax, dx                 ; a busy guest works in slices; those for which it slept are lost
        mov     ebx, eax
        sub     eax, ebp
        and     eax, 0xffffff
        cmp     eax, SLICE
        jb      slice
        mov     ebp, ebx
        cmp     eax, SLICE * 2
        jb      whole
        mov     eax, SLICE
whole:  call    work
        mov     dx, PM_TIMER
        jmp     slice

tick:   mov     dx, PM_TIMER
        in      eax, dx
        mov     ebx, eax
        sub     eax, ebp
        and     eax, 0xffffff
        mov     ebp, ebx
        call    work
        mov     al, 0x20
        out     0x20, al
        iret

work:   mul     dword [rate]            ; pages a count, as a 32-bit fraction
        add     edi, eax
        adc     edx, 0
        mov     ecx, edx
        jecxz   done
write:  imul    esi, esi, 1664525       ; the next of a row of random numbers
        add     esi, 1013904223
        mov     eax, esi
        mul     dword [set_pages]
        imul    edx, [set_stride]
        add     edx, [set_start]
        inc     dword [edx]
        loop    write
done:   ret

controllers:
        db      0x20, 0x11, 0xa0, 0x11, 0x21, 0x20, 0xa1, 0x28, 0x21, 4, 0xa1, 2, 0x21, 1, 0xa1, 1, 0x21, 0xfe
        db      0x43, 0x34, 0x40, 5966 & 255, 0x40, 5966 >> 8
align 8
gdt:    dq      0, 0x00cf9a000000ffff, 0x00cf92000000ffff
descriptors:
        dw      23
        dd      gdt
interrupts:
        dw      0x21 * 8 - 1
        dd      IDT

        times 486 - ($ - $$) db 0
memory_end: dd  0
set_start:  dd  0
set_pages:  dd  0
set_stride: dd  0                       ; bytes from one of its pages to the next
rate:       dd  0
busy:       dd  0
        times 510 - ($ - $$) db 0
        dw      0xaa55
